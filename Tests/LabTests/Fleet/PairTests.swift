import Addresses
import Foundation
import Portmapper
import Testing

extension LabTests {
    /// Two servers with one address between them; etcd on a third host.
    @Suite("A pair of servers")
    struct PairTests {
        private static let client = "10.77.8.2"

        /// C asks at the node that has the address, and uses the service.
        private func use(_ lab: Lab, _ node: FleetNode, from client: String = client) throws {
            let answer = try lab.ask(
                .approved, node.service().getPort, to: FleetNode.address, over: .tcp, options: "--from \(client)")
            #expect(answer.result(of: node.service().getPort) == .port(UInt32(node.service().port)))
            #expect(try connect(lab, from: client) == "connected")
        }

        private func connect(_ lab: Lab, from client: String = client, port: UInt16 = 4001) throws -> String {
            try lab.peer(
                .approved, "connect --to \(FleetNode.address) --port \(port) --over tcp --from \(client) --wait 1000"
            ).lines.first ?? ""
        }

        private func arrives(_ node: FleetNode, _ client: String = client, port: UInt16 = 4001) async throws {
            try await eventually("\(node.name) has the grant of \(client)", within: .seconds(20)) {
                try node.opens(to: client, port: port)
            }
        }

        @Test("a client of a node that dies goes on at the other, without a look-up, at that node's own port", .lab())
        func failover() async throws {
            let lab = try Lab.current
            let (first, second, store) = try await lab.fleetPair(startsServices: false)
            try first.takeAddress()
            try await first.startService(4001)
            try await second.startService(4002)
            try use(lab, first)
            try await arrives(second, port: 4002)
            try await eventually("the event tells whose grant it is") {
                try second.events("granted").first?.rule?.hasSuffix("(from server)") == true
            }
            #expect(try second.status().fleet?.foreign_grants == 1)
            #expect(try first.events("fleet-connected").first?.detail == "fleet lab as node server")
            // The store, too, is gone when it is needed.
            try store.stop()
            try first.die()
            try second.takeAddress()
            let before = try second.events("permitted").count
            let moved = ContinuousClock.now
            #expect(try connect(lab, port: 4002) == "connected")
            print("the client connects \(ContinuousClock.now - moved) after the address has moved")
            #expect(try second.events("permitted").count == before)
            try await eventually("the lost store is told") { try second.events("fleet-lost").count == 1 }
            #expect(try second.status().fleet?.connected == false)
            // Nothing that is open ends, however long the store is away; and new clients are served.
            try use(lab, FleetNode(lab: lab, host: .spare), port: 4002, from: "10.78.1.1")
            #expect(try second.opens(to: Self.client, port: 4002))
        }

        private func use(_ lab: Lab, _ node: FleetNode, port: UInt16, from client: String) throws {
            let service = node.service(port)
            let answer = try lab.ask(
                .approved, service.getPort, to: FleetNode.address, over: .tcp, options: "--from \(client)")
            #expect(answer.result(of: service.getPort) == .port(UInt32(port)))
            #expect(try connect(lab, from: client, port: port) == "connected")
        }

        @Test(
            "a node whose service starts only at the failover opens it at its registration, without the store", .lab())
        func serviceStartsLater() async throws {
            let lab = try Lab.current
            let (first, second, store) = try await lab.fleetPair(startsServices: false)
            try first.takeAddress()
            try await first.startService()
            try use(lab, first)
            try await eventually("the grant waits at the other node", within: .seconds(20)) {
                try second.status().fleet?.waiting_grants == 1
            }
            try store.stop()
            // As pacemaker does: stop the service, move the address, start the service.
            try first.stopService()
            try first.die()
            try second.takeAddress()
            let started = ContinuousClock.now
            try await second.startService()
            try await arrives(second)
            print("the grant is open \(ContinuousClock.now - started) after the service was started")
            #expect(try connect(lab) == "connected")
            #expect(try second.events("permitted").isEmpty)
        }

        @Test("a service that moves there, to another port, and back has its client's grant each time", .lab())
        func serviceMovesBack() async throws {
            let lab = try Lab.current
            let (first, second, _) = try await lab.fleetPair(startsServices: false)
            try first.takeAddress()
            try await first.startService(4001)
            try use(lab, first)
            try await eventually("the grant waits at the second node", within: .seconds(20)) {
                try second.status().fleet?.waiting_grants == 1
            }
            try first.stopService(4001)
            try first.die()
            try second.takeAddress()
            try await second.startService(4002)
            try await arrives(second, port: 4002)
            // The client asks there, too: from now on the grant is the second node's own.
            try use(lab, second, port: 4002, from: Self.client)
            _ = try lab.exec(
                .server, "sh", "-c", "ip address delete \(FleetNode.address)/24 dev ha0; ip link set ha0 up")
            try await eventually("the first node is back", within: .seconds(30)) { try first.isSynced() }
            try second.stopService(4002)
            try second.die()
            try first.takeAddress()
            try await first.startService(4001)
            try await eventually("the port is guarded", within: .seconds(20)) {
                try first.events("registered").count == 2
            }
            // The client's packet brings its grant back.
            try await eventually("the client is let in, without a look-up", within: .seconds(20)) {
                try connect(lab, port: 4001) == "connected"
            }
            try await arrives(first, port: 4001)
            #expect(try first.events("permitted").count == 1)
        }

        @Test("a revocation ends the other node's copy and its flows at once; keys that vanish end nothing", .lab())
        func ends() async throws {
            let lab = try Lab.current
            let (first, second, store) = try await lab.fleetPair()
            try first.takeAddress()
            try use(lab, first)
            try use(lab, first, from: "10.78.1.1")
            try await arrives(second)
            try await arrives(second, "10.78.1.1")
            // By hand, and with the leases.
            #expect(try store.etcdctl("del", "--prefix", "/rpcwarden/v1/lab/pairs/").isSuccess)
            for lease in try store.etcdctl("lease", "list").lines.dropFirst() {
                try store.etcdctl("lease", "revoke", lease)
            }
            try await eventually("the keys are written again", within: .seconds(30)) {
                try store.keys("pairs/nas/grants/server/").count == 2
            }
            #expect(try second.opens(to: Self.client) && (try second.opens(to: "10.78.1.1")))
            #expect(try first.rpcwarden("revoke", "--client", Self.client).isSuccess)
            try await eventually("the copy has ended", within: .seconds(5)) { try !second.opens(to: Self.client) }
            try await eventually("the end is told") {
                try second.events("revoked").contains {
                    $0.client == Self.client && $0.detail == "ended by another node"
                }
            }
            #expect(try second.opens(to: "10.78.1.1"))
            // It stays so, and the client may ask again.
            try use(lab, first)
            try await arrives(second)
        }

        @Test("both nodes serve at once: each has the other's grants, and what one ends it ends alone", .lab())
        func bothActive() async throws {
            let lab = try Lab.current
            let (first, second, _) = try await lab.fleetPair()
            for (node, client) in [(first, "10.78.1.1"), (second, "10.78.1.2")] {
                let own = node.host == .server ? "10.77.8.11" : "10.77.8.12"
                _ = try lab.ask(.approved, node.service().getPort, to: own, over: .tcp, options: "--from \(client)")
            }
            for node in [first, second] {
                try await arrives(node, "10.78.1.1")
                try await arrives(node, "10.78.1.2")
            }
            let rows = try second.grants().sorted { $0.client < $1.client }
            #expect(rows.map { $0.rule?.hasSuffix("(from server)") } == [true, false])
        }

        @Test("a sidecar that is killed again and again in a storm of look-ups loses nothing", .lab())
        func killedSidecars() async throws {
            let lab = try Lab.current
            let (first, second, store) = try await lab.fleetPair()
            try first.takeAddress()
            for round in 0..<20 {
                let asks = (0..<10).map { number in
                    Lab.words(
                        .init(first.service().getPort, to: FleetNode.address, over: .tcp), xid: .random,
                        "--from 10.78.\(round).\(number + 1)")
                }
                let outputs = try lab.peers(.approved, asks)
                #expect(outputs.count { $0.isSuccess } == asks.count, "\(outputs)")
                let victim = round.isMultiple(of: 2) ? first : second
                try victim.stopSidecar()
                try victim.startSidecar()
            }
            try await eventually("everything has arrived", within: .seconds(60)) {
                try second.status().fleet?.foreign_grants == 200
            }
            try await eventually("both are in step", within: .seconds(30)) {
                try first.isSynced() && (try second.isSynced())
            }
            #expect(try store.keys("pairs/nas/grants/server/").count == 200)
        }
    }
}
