import Addresses
import Firewall
import Glibc
import Testing

@testable import Netfilter

extension KernelTests {
    /// Flows that this host begins from a guarded port, and flows that resemble them.
    @Suite struct OwnFlows {
        private static let peerPort: UInt16 = 5000
        private static let client4 = "192.0.2.7"
        private static let client6 = "2001:db8::7"

        /// A table after its settling time.
        private static func settled(_ shape: TableShape = TableShape()) throws -> NetfilterTable {
            let table = try NetfilterTable.made(shape)
            let flushed = shell("nft flush set inet rpcwarden settling")
            try #require(flushed.status == 0, "\(flushed.text)")
            return table
        }

        /// This host's socket at the port, connected to a port of the client.
        private static func here(_ port: ServicePort, to peer: String, _ peerPort: UInt16) throws -> TestSocket {
            try TestSocket(
                connectedTo: ServicePort(port.transport, peerPort), peer, from: port,
                fromAddress: peer.contains(":") ? "::" : nil, waits: port.transport == .udp)
        }

        @Test(
            "TCP from a dead service's port is answered",
            arguments: [(client4, "0.0.0.0"), (client6, "::")], [TableShape(), TableShape(observes: true)])
        func answeredOverTCP(addresses: (peer: String, any: String), shape: TableShape) throws {
            try withClient { client in
                let table = try NetfilterTable.made(shape)
                let service = ServicePort(.tcp, 731)
                #expect(table.commit(.guardPort(service)) == nil)
                let peer = try client.inside { try TestSocket(ServicePort(.tcp, Self.peerPort), addresses.any) }
                let here = try Self.here(service, to: addresses.peer, Self.peerPort)
                #expect(here.connects(within: 1))
                withExtendedLifetime(peer) {}
            }
        }

        @Test(
            "a datagram from a guarded port is answered, by whom it went to and from the port that it went to alone",
            arguments: [(client4, TestClient.server4), (client6, TestClient.server6)])
        func answeredOverUDP(peer: String, server: String) throws {
            try withClient { client in
                let table = try Self.settled()
                let service = ServicePort(.udp, 731)
                #expect(table.commit(.guardPort(service)) == nil)
                let here = try Self.here(service, to: peer, Self.peerPort)
                let there = try client.inside { try Self.here(ServicePort(.udp, Self.peerPort), to: server, 731) }
                there.send(1)
                #expect(here.receiveNone(), "nobody asked")
                here.send(1)
                #expect(there.receive(1) == 1)
                there.send(1)
                #expect(here.receive(1) == 1, "the flow that the stranger tried to begin was dropped")
                let other = try client.inside { try TestSocket(connectedTo: service, server) }
                for _ in 0..<3 { other.send(1) }
                #expect(try table.drops(of: "rpcwarden").guarded == 4)
            }
        }

        /// A client with a grant at udp/2049 that was answered, and the service's socket, which answers only this
        /// client.
        private struct Answered {
            let table: NetfilterTable
            let flows: Flows
            let key: GrantKey
            let there: TestSocket
            let here: TestSocket

            init(_ client: TestClient) throws {
                table = try OwnFlows.settled()
                flows = try Flows()
                let service = ServicePort(.udp, 2049)
                key = Example.grant(Example.client4, service)
                #expect(table.commit(.guardPort(service), Example.issue(key)) == nil)
                there = try client.inside {
                    try OwnFlows.here(ServicePort(.udp, OwnFlows.peerPort), to: TestClient.server4, 2049)
                }
                here = try OwnFlows.here(service, to: OwnFlows.client4, OwnFlows.peerPort)
                there.send(1)
                #expect(here.receive(1) == 1)
                here.send(1)
                #expect(there.receive(1) == 1)
            }

            /// The server keeps sending, and then the client sends; returns the number of the client's datagrams
            /// that arrive.
            func goOn() -> Int {
                for _ in 0..<3 { here.send(1) }
                #expect(there.receive(3) == 3)
                for _ in 0..<3 { there.send(1) }
                usleep(30_000)
                return here.receiveAll()
            }

            /// - Parameter otherPorts: ports without flows that are cut in the same request.
            func cut(_ ranges: Set<AddressRange>, otherPorts: UInt16 = 0) throws -> Int {
                var cuts = [key.service: ranges]
                for port in 0..<otherPorts { cuts[ServicePort(.udp, 3000 + port)] = ranges }
                return try table.cut(flows, cuts, in: "rpcwarden")
            }
        }

        @Test("a server of UDP that keeps sending brings no revoked client back", arguments: [0, 300])
        func revoked(otherPorts: UInt16) throws {
            try withClient { client in
                let answered = try Answered(client)
                let table = answered.table
                #expect(table.commit(.revoke(answered.key)) == nil)
                #expect(try answered.flows.cut(client: Example.client4, service: answered.key.service) == 1)
                #expect(answered.goOn() == 3, "what the kernel forgets alone comes back")
                let single = AddressRange(Example.client4, Example.client4)
                #expect(
                    try answered.cut([single], otherPorts: otherPorts) == 1,
                    "the one that the server seems to have begun")
                #expect(answered.goOn() == 0)
                // The set is carried over to a new table, and other clients are answered.
                #expect(table.commit(.makeTable(TableShape()), .guardPort(answered.key.service)) == nil)
                _ = shell("nft flush set inet rpcwarden settling")
                #expect(try answered.flows.cut(client: Example.client4, service: answered.key.service) == 1)
                #expect(answered.goOn() == 0)
                let other = try client.inside {
                    try TestSocket(
                        connectedTo: answered.key.service, TestClient.server4,
                        from: ServicePort(.udp, Self.peerPort), fromAddress: "192.0.2.8")
                }
                let question = try Self.here(answered.key.service, to: "192.0.2.8", Self.peerPort)
                question.send(1)
                #expect(other.receive(1) == 1)
                other.send(1)
                #expect(question.receive(1) == 1)
            }
        }

        @Test(
            "nor one of a range that no longer stands, nor all clients of a port, nor when there are too many of them",
            arguments: [0, 20])
        func cutRange(otherPorts: UInt16) throws {
            let single = AddressRange(Example.client4, Example.client4)
            for ranges: Set<AddressRange> in [
                [AddressRange(.v4(0xc000_0200), .v4(0xc000_02ff))], [.allIPv4, .allIPv6],
            ] {
                try withClient { client in
                    let answered = try Answered(client)
                    #expect(answered.table.commit(.revoke(answered.key)) == nil)
                    #expect(try answered.cut(ranges, otherPorts: otherPorts) == 1)
                    #expect(answered.goOn() == 0)
                }
            }
            try withClient { client in
                let answered = try Answered(client)
                let made = shell(
                    """
                    nft delete chain inet rpcwarden output; nft flush chain inet rpcwarden begun_here
                    nft 'delete set inet rpcwarden revoked4
                    add set inet rpcwarden revoked4 { typeof ip saddr . meta l4proto . th dport; size 1; flags dynamic,timeout; }
                    add element inet rpcwarden revoked4 { 1.2.3.4 . udp . 1 timeout 10m }'
                    """)
                try #require(made.status == 0, "\(made.text)")
                #expect(answered.table.commit(.revoke(answered.key)) == nil)
                #expect(try answered.cut([single], otherPorts: otherPorts) == 1)
                #expect(shell("nft list set inet rpcwarden settling").text.contains("udp timeout 10m"))
            }
        }

        @Test("a table that was just made takes no datagram for a question: it may answer one that nobody saw")
        func settles() throws {
            try withClient { client in
                let table = try NetfilterTable.made()
                let service = ServicePort(.udp, 731)
                #expect(table.commit(.guardPort(service)) == nil)
                #expect(shell("nft list set inet rpcwarden settling").text.contains("udp timeout 200ms"))
                let there = try client.inside {
                    try Self.here(ServicePort(.udp, Self.peerPort), to: TestClient.server4, 731)
                }
                let here = try Self.here(service, to: Self.client4, Self.peerPort)
                here.send(1)
                #expect(there.receive(1) == 1)
                there.send(1)
                #expect(here.receiveNone())
                _ = shell("nft flush set inet rpcwarden settling")
                here.send(1)
                there.send(1)
                #expect(here.receiveNone(), "nor does it later, within the same flow")
                #expect(table.commit(.makeTable(TableShape())) == nil)
                #expect(!shell("nft list set inet rpcwarden settling").text.contains("udp"), "it took over from one")
            }
        }

        @Test(
            "a bit that others set in every connection's mark keeps no flow that began before the guard, and no revoked one"
        )
        func foreignBit() throws {
            try withClient { client in
                let table = try Self.settled()
                let flows = try Flows()
                let bit = "0x" + String(TableShape.defaultFlowMark, radix: 16)
                let made = shell(
                    """
                    nft 'table inet other {
                    chain first { type filter hook prerouting priority -100; ct mark set ct mark or \(bit); }
                    chain last { type filter hook output priority 100; ct mark set ct mark or \(bit); }
                    }'
                    """)
                try #require(made.status == 0, "\(made.text)")
                let service = ServicePort(.udp, 2049)
                func pair(_ address: String, _ port: UInt16) throws -> (there: TestSocket, here: TestSocket) {
                    let there = try client.inside {
                        try TestSocket(
                            connectedTo: service, TestClient.server4, from: ServicePort(.udp, port),
                            fromAddress: address)
                    }
                    let here = try Self.here(service, to: address, port)
                    there.send(1)
                    #expect(here.receive(1) == 1)
                    here.send(1)
                    #expect(there.receive(1) == 1)
                    return (there, here)
                }
                let (stranger, rightful) = (try pair("192.0.2.8", 5001), try pair(Self.client4, 5002))

                let key = Example.grant(Example.client4, service)
                let transaction = Transaction(
                    table: "rpcwarden", operations: [.guardPort(service), Example.issue(key)])
                #expect(table.commit(transaction) == nil)
                stranger.there.send(1)
                #expect(stranger.here.receive(1) == 1, "the bit would admit it")
                try table.cutFlows(flows, to: [service], unless: transaction)
                for _ in 0..<3 { stranger.there.send(1) }
                stranger.here.send(1)
                for _ in 0..<3 { stranger.there.send(1) }
                #expect(stranger.here.receiveNone())
                rightful.there.send(1)
                #expect(rightful.here.receive(1) == 1)
                #expect(try flows.cut(client: Example.client4, service: service) == 1, "it was left alone")

                // The flow takes the fast path and its grant is revoked; then the bit is set again, whichever
                // client the flow belongs to.
                _ = shell("nft add element inet rpcwarden recent4 { 192.0.2.7 . udp . 2049 timeout 10m }")
                rightful.there.send(1)
                #expect(rightful.here.receive(1) == 1)
                #expect(table.commit(.revoke(key)) == nil)
                _ = try table.cut(
                    flows, [service: [AddressRange(Example.client4, Example.client4)]], in: "rpcwarden")
                for _ in 0..<3 { rightful.there.send(1) }
                rightful.here.send(1)
                #expect(rightful.there.receive(1) == 1)
                for _ in 0..<3 { rightful.there.send(1) }
                #expect(rightful.here.receiveNone())
            }
        }

        @Test("flows to newly guarded ports are cut here alone, and unless a grant or a range admits their clients")
        func newlyGuarded() throws {
            try withClient { client in
                let table = try Self.settled()
                let flows = try Flows()
                let services = [ServicePort(.udp, 2049), ServicePort(.udp, 2050)]
                let forwarded = shell(
                    """
                    ip link add far type veth peer name farther && ip addr add 198.51.100.1/24 dev far &&
                    ip link set far up && ip link set farther up &&
                    ip neigh add 198.51.100.9 lladdr 02:00:00:00:00:09 dev far &&
                    echo 1 > /proc/sys/net/ipv4/ip_forward &&
                    nsenter -t \(client.processID) -n ip route add 198.51.100.0/24 via 192.0.2.1
                    """)
                try #require(forwarded.status == 0, "\(forwarded.text)")
                let servers = try services.map { try TestSocket($0, "0.0.0.0") }
                for address in ["192.0.2.1", "198.51.100.9"] {
                    for service in services { try client.socket(to: service, address).send(1) }
                }
                #expect(servers.allSatisfy { $0.receive(1) == 1 })
                func cut(_ operations: [Operation], _ services: Set<ServicePort>) throws -> Int {
                    let before = shell("conntrack -L -p udp 2>/dev/null | wc -l").text
                    let transaction = Transaction(table: "rpcwarden", operations: operations)
                    #expect(table.commit(transaction) == nil)
                    try table.cutFlows(flows, to: services, unless: transaction)
                    let after = shell("conntrack -L -p udp 2>/dev/null | wc -l").text
                    return (Int(before.filter(\.isNumber)) ?? 0) - (Int(after.filter(\.isNumber)) ?? 0)
                }
                let guards = services.map(Operation.guardPort)
                let range = Example.standing(.v4(0xc000_0200), .v4(0xc000_02ff), services[0])
                let key = Example.grant(Example.client4, services[1])
                #expect(try cut(guards + [.addStanding(range), Example.issue(key)], Set(services)) == 0)
                #expect(try cut([.removeStanding(range)], Set(services)) == 1)
                #expect(try cut([.revoke(key)], [services[0]]) == 0, "the other port isn't new")
                // Beyond a limit of services, the kernel is asked for all flows.
                let many = Set((0..<20).map { ServicePort(.udp, 2049 + $0) })
                #expect(try cut([], many) == 1)
                #expect(try cut([], many) == 0, "those that are forwarded stay")
            }
        }
    }
}

extension TestSocket {
    /// No datagram has arrived, and none arrives within 30 ms.
    func receiveNone() -> Bool {
        usleep(30_000)
        return receiveAll() == 0
    }
}
