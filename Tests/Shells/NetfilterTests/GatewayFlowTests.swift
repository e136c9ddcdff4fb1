import Addresses
import Firewall
import Glibc
import Testing

@testable import Netfilter

extension KernelTests {
    /// Flows through this gateway to servers.
    @Suite struct GatewayFlows {
        private static let udp = ServicePort(.udp, 2049)
        /// 10.91.2.2, fd91:2::2, 10.91.2.3, and the alias 198.51.100.2.
        private static var shape: TableShape {
            var shape = TableShape()
            shape.gateway = GatewayShape(addresses: [
                Example.server4, Example.server6, .v4(0x0a5b_0203), .v4(0xc633_6402),
            ])
            return shape
        }
        private static func udp(_ server: UInt16) -> ServicePort {
            ServicePort(.udp, 2049, at: ServerID(rawValue: server))
        }
        private static let other4 = IPAddress.v4(0xc000_0208)

        /// The translations of a gateway: an alias one to one, and clients' addresses on the way out.
        private static let nat = """
            table ip nat {
                chain in { type nat hook prerouting priority -100; ip daddr 198.51.100.2 dnat to 10.91.2.2; }
                chain out { type nat hook postrouting priority 100; oifname "far" ip saddr 192.0.2.8 masquerade; }
            }
            """

        /// Cuts through the table, as the daemon does.
        private struct Cutter {
            let table: NetfilterTable
            let flows: Flows
            /// Ports without flows that are cut in the same request; of many ports the flows are read at once.
            let otherPorts: UInt16

            init(otherPorts: UInt16 = 0) throws {
                table = try .made(GatewayFlows.shape)
                flows = try Flows()
                self.otherPorts = otherPorts
            }

            func callAsFunction(_ client: IPAddress, _ service: ServicePort) throws -> Int {
                try self([AddressRange(client, client)], service)
            }

            func callAsFunction(_ clients: Set<AddressRange>, _ service: ServicePort) throws -> Int {
                var cuts = [service: clients]
                for port in 0..<otherPorts { cuts[ServicePort(.udp, 3000 + port, at: service.server)] = clients }
                return try table.cut(flows, cuts, in: "rpcwarden")
            }
        }

        private func send(_ client: TestClient, to addresses: [String], from source: String? = nil) throws {
            for address in addresses { try client.socket(to: Self.udp, address, from: source).send(1) }
        }

        @Test(
            "cuts a client's flows to one server's port, and leaves those to others and to this host",
            arguments: [0, 20])
        func cuts(otherPorts: UInt16) throws {
            try withServer { client, _ in
                let cut = try Cutter(otherPorts: otherPorts)
                let all = ["10.91.2.2", "10.91.2.3", TestClient.server4]
                try send(client, to: all)
                try send(client, to: all, from: "192.0.2.8")
                try send(client, to: ["fd91:2::2", TestClient.server6])
                #expect(try cut(Example.client4, Self.udp(1)) == 1)
                #expect(try cut(Example.client4, Self.udp(1)) == 0)
                #expect(try cut(Example.client4, ServicePort(.tcp, 2049, at: ServerID(rawValue: 3))) == 0)
                #expect(try cut(Example.client4, Self.udp) == 1)
                #expect(try cut(Example.client4, Self.udp(3)) == 1)
                #expect(try cut(Example.client6, Self.udp(2)) == 1)
                #expect(try cut(Example.client6, Self.udp) == 1)
                let both = AddressRange(Example.client4, Self.other4)
                #expect(try cut([both], Self.udp(1)) == 1, "a range of clients")
                #expect(try cut(Self.other4, Self.udp(3)) == 1)
                #expect(try cut(Self.other4, Self.udp) == 1)
            }
        }

        @Test("finds flows whose server or client is translated, by the server's real address", arguments: [0, 20])
        func translated(otherPorts: UInt16) throws {
            try withServer { client, _ in
                let cut = try Cutter(otherPorts: otherPorts)
                let made = shell("nft -f - <<'END'\n\(Self.nat)\nEND")
                try #require(made.status == 0, "\(made.text)")
                try send(client, to: ["198.51.100.2"])
                try send(client, to: ["198.51.100.2", "10.91.2.2"], from: "192.0.2.8")
                #expect(try cut(Example.client4, Self.udp) == 0, "no flow to this host")
                #expect(try cut(Example.client4, Self.udp(4)) == 0, "the alias is translated")
                #expect(try cut(Example.client4, Self.udp(1)) == 1)
                #expect(try cut(Self.other4, Self.udp(1)) == 2)
            }
        }

        @Test("a revoked client's flow over UDP stays cut, though the server keeps sending")
        func revoked() throws {
            try withServer { client, server in
                let cut = try Cutter()
                let key = Example.grant(Example.client4, Self.udp(1))
                #expect(cut.table.commit(.guardPort(key.service), Example.issue(key)) == nil)
                let there = try inNamespace(of: server.processID) {
                    try TestSocket(
                        connectedTo: ServicePort(.udp, 5000), "192.0.2.7", from: Self.udp, fromAddress: "10.91.2.2")
                }
                let here = try client.inside {
                    try TestSocket(
                        connectedTo: Self.udp, "10.91.2.2", from: ServicePort(.udp, 5000), fromAddress: "192.0.2.7")
                }
                here.send(1)
                #expect(there.receive(1) == 1)
                there.send(1)
                #expect(here.receive(1) == 1)
                #expect(cut.table.commit(.revoke(key)) == nil)
                here.send(1)
                #expect(there.receive(1) == 1, "an admitted flow outlives its grant")
                #expect(try cut(key.client, key.service) == 1)
                there.send(1)
                #expect(here.receive(1) == 1)
                for _ in 0..<3 { here.send(1) }
                #expect(there.receiveNone())
                #expect(try cut(key.client, key.service) == 1, "the one that the server seems to have begun")
                #expect(try cut.table.revoked(in: "rpcwarden") == [:], "those sets are about this host")
            }
        }

        @Test("a stream to a server takes the fast path, and revocation stops it at once though it does not pause")
        func fastPath() throws {
            try withServer { client, server in
                let cut = try Cutter()
                let key = Example.grant(Example.client4, Self.udp(1))
                #expect(cut.table.commit(.guardPort(key.service), Example.issue(key)) == nil)
                let there = try inNamespace(of: server.processID) { try TestSocket(Self.udp, "10.91.2.2") }
                there.growReceiveBuffer()
                let sender = try Sender(client.socket(to: Self.udp, "10.91.2.2"), pauseMicroseconds: 0)
                #expect(sender.sends(1000))
                let isRecent = {
                    shell("nft list set inet rpcwarden recent_at4").text.contains("192.0.2.7 . 10.91.2.2 . udp . 2049")
                }
                #expect(becomesTrue(isRecent))
                let packets = try #require(try cut.table.uses(of: [key], in: "rpcwarden")[key]).packets
                #expect(there.receiveAll() > packets, "some packets took the fast path, and weren't counted")
                #expect(cut.table.commit(.revoke(key)) == nil)
                let start = ContinuousClock.now
                #expect(try cut(key.client, key.service) == 1)
                #expect(sender.sends(100))
                _ = there.receiveAll()
                #expect(sender.sends(5000))
                let isRecentStill = isRecent()
                #expect(
                    isRecentStill || ContinuousClock.now - start > .seconds(1), "it is the flow's bit that is missing")
                #expect(there.receiveAll() == 0)
                #expect(sender.stop() > packets)
            }
        }

        @Test("a revoked callback's flows are cut, those of the server to the client's port and no others")
        func callbacks() throws {
            try withServer { client, server in
                let cut = try Cutter()
                let service = ServicePort(.udp, 4045, at: ServerID(rawValue: 1).callback)
                func send(from: String, to: String, _ port: ServicePort) throws -> TestSocket {
                    try inNamespace(of: server.processID) {
                        let socket = try TestSocket(connectedTo: port, to, fromAddress: from)
                        socket.send(1)
                        return socket
                    }
                }
                let here = ServicePort(.udp, 4045)
                for (from, to) in [
                    ("10.91.2.2", "192.0.2.7"), ("10.91.2.2", "192.0.2.8"), ("10.91.2.3", "192.0.2.7"),
                    ("fd91:2::2", "2001:db8::7"),
                ] {
                    _ = try send(from: from, to: to, here)
                }
                _ = try send(from: "10.91.2.2", to: "192.0.2.7", ServicePort(.udp, 4046))
                _ = try client.socket(to: here, "10.91.2.2").send(1)
                // As a late reply of the client: the kernel takes it for a flow that the client begins.
                try client.inside {
                    try TestSocket(
                        connectedTo: ServicePort(.udp, 700), "10.91.2.2", from: here, fromAddress: "192.0.2.7"
                    ).send(1)
                }
                // The kernel knows a flow once its packet has crossed to this namespace, which sending doesn't wait for.
                let known = shell("timeout 10 sh -c 'until [ $(conntrack -C) -ge 7 ]; do sleep 0.01; done'")
                #expect(known.status == 0)
                #expect(try cut(Example.client4, service) == 2)
                #expect(try cut(Example.client4, service) == 0)
                #expect(try cut(Self.other4, service) == 1)
                #expect(try cut(Example.client4, service.at(ServerID(rawValue: 3).callback)) == 1)
                #expect(try cut(Example.client6, service.at(ServerID(rawValue: 2).callback)) == 1)
                #expect(try cut(Example.client4, here.at(ServerID(rawValue: 1))) == 1, "the client's own")
                #expect(try cut(Example.client4, ServicePort(.udp, 4046, at: service.server)) == 1)
            }
        }

        @Test(
            "flows to a newly guarded port of a server are cut, but for the clients that are admitted there",
            arguments: [0, 20])
        func newlyGuarded(otherPorts: UInt16) throws {
            try withServer { client, _ in
                let cut = try Cutter()
                let addresses = ["10.91.2.2", "10.91.2.3", TestClient.server4]
                try send(client, to: addresses)
                try send(client, to: addresses, from: "192.0.2.8")
                try send(client, to: ["fd91:2::2"])
                // A grant here and at another server admits nobody at this one.
                let grants = [Example.grant(Self.other4, Self.udp), Example.grant(Self.other4, Self.udp(3))]
                let transaction = Transaction(
                    table: "rpcwarden",
                    operations: [
                        .guardPort(Self.udp(1)), .guardPort(Self.udp(2)),
                        .addStanding(Example.standing(Example.client4, Example.client4, Self.udp(1))),
                    ] + grants.map { Example.issue($0) })
                #expect(cut.table.commit(transaction) == nil)
                // Of many ports the flows are read at once.
                let others = (0..<otherPorts).map { ServicePort(.tcp, 3000 + $0, at: ServerID(rawValue: 1)) }
                let services = Set([Self.udp(1), Self.udp(2)] + others)
                try cut.table.cutFlows(cut.flows, to: services, unless: transaction)
                #expect(try cut(Self.other4, Self.udp(1)) == 0, "cut already")
                #expect(try cut(Example.client6, Self.udp(2)) == 0, "cut already")
                #expect(try cut(Example.client4, Self.udp(1)) == 1, "open: always")
                for service in [Self.udp, Self.udp(3)] {
                    #expect(try cut(Example.client4, service) == 1)
                    #expect(try cut(Self.other4, service) == 1)
                }
            }
        }
    }
}
