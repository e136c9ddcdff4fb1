import Addresses
import Firewall
import Glibc
import Portmapper
import Testing

@testable import Netfilter

extension KernelTests {
    /// Calls to a server's portmapper that are answered here, in the server's name.
    @Suite struct GatewayCalls {
        private static let servers = [ServerSide.address4, ServerSide.address6]

        struct Way: CustomTestStringConvertible {
            var transport: Transport
            var client: String
            var server: String
            var padding = 0
            var testDescription: String { "\(transport) to \(server)\(padding > 0 ? ", in fragments" : "")" }
        }

        static let ways = [
            Way(transport: .udp, client: "192.0.2.7", server: ServerSide.address4),
            Way(transport: .udp, client: "2001:db8::7", server: ServerSide.address6),
            Way(transport: .udp, client: "192.0.2.7", server: ServerSide.address4, padding: 1800),
            Way(transport: .udp, client: "2001:db8::7", server: ServerSide.address6, padding: 1800),
            Way(transport: .tcp, client: "192.0.2.7", server: ServerSide.address4),
            Way(transport: .tcp, client: "2001:db8::7", server: ServerSide.address6),
        ]

        /// The table and the routes of a gateway, made by what makes them in the netfilter process.
        private func withInterception(
            isStrict: Bool = true, preparing prepared: [String] = servers,
            _ body: (TestClient, ServerSide, AnsweringServer) throws -> Void
        ) throws {
            try withRoutedServer(isStrict: isStrict) { client, server in
                var shape = TableShape()
                shape.gateway = GatewayShape(addresses: Self.servers.compactMap { IPAddress($0) })
                let table = try NetfilterTable.made(shape)
                try RoutingTables().install(.example(Self.servers, interceptsCallbacks: false))
                let here = try AnsweringServer(servers: prepared)
                do { try body(client, server, here) } catch { Issue.record(error) }
                try here.end()
                withExtendedLifetime(table) {}
            }
        }

        private func ask(_ client: TestClient, _ way: Way, xid: UInt32, waits: Bool = true) throws -> Bool {
            let isStream = way.transport == .tcp
            let socket = try client.socket(
                to: ServicePort(way.transport, 111), way.server, from: way.client, waits: waits)
            if isStream, !waits, !socket.connects(within: 1) { return false }
            socket.sendCall(xid: xid, padding: way.padding, isStream: isStream)
            return socket.receivesReply(xid: xid, isStream: isStream)
        }

        @Test(
            "a call to a server is answered here, from the address that was asked, and the server hears nothing of it",
            arguments: ways, [true, false])
        func answers(way: Way, isStrict: Bool) throws {
            try withInterception(isStrict: isStrict) { client, server, here in
                // A connected socket takes nothing from other addresses.
                #expect(try ask(client, way, xid: 7))
                let peer = try #require(try here.peers().first)
                #expect(peer.asked == UniversalAddress(host: try #require(IPAddress(way.server)), port: 111))
                #expect(peer.address == IPAddress(way.client) && peer.transport == way.transport)
                #expect(!peer.isLocal && !peer.isBroadcast)
                let connections = try here.connections()
                #expect(connections.allSatisfy { !$0.isLocal && $0.asked == peer.asked })
                #expect(server.packets == 0)
                let flows = shell("conntrack -L -f ipv4; conntrack -L -f ipv6").text
                #expect(!flows.contains("port=111 "), "\(flows)")
            }
        }

        @Test("sockets that aren't transparent get none of these calls, and neither does the server", arguments: ways)
        func notTransparent(way: Way) throws {
            try withInterception(preparing: []) { client, server, here in
                let isAnswered = try ask(client, way, xid: 7, waits: way.transport == .udp)
                #expect(!isAnswered)
                let peers = try here.peers()
                #expect(peers.isEmpty && server.packets == 0)
            }
        }

        @Test("without a gateway's table the server gets the call: the counter counts")
        func counted() throws {
            try withRoutedServer { client, server in
                #expect(server.packets == 0)
                let isAnswered = try ask(client, Self.ways[0], xid: 7)
                #expect(!isAnswered)
                #expect(server.packets == 1)
            }
        }

        @Test(
            "whatever source a stranger's datagram claims, it isn't this host's",
            arguments: [
                // The server that it asks, the gateway's addresses on either side, and 127/8.
                ("10.91.2.2", ServerSide.address4, true), ("192.0.2.1", ServerSide.address4, false),
                ("10.91.2.1", ServerSide.address4, false), ("127.0.0.1", ServerSide.address4, false),
                ("fd91:2::2", ServerSide.address6, true), ("2001:db8::1", ServerSide.address6, false),
                ("fd91:2::1", ServerSide.address6, false),
            ])
        func forged(source: String, server: String, arrives: Bool) throws {
            try withInterception(isStrict: false) { client, _, here in
                let way = try #require(Self.ways.first { $0.server == server })
                // Has the client look up the gateway's link-layer address, which it can't in a forged name.
                #expect(try ask(client, way, xid: 98))
                let forging = try client.inside { try TestSocket(forging: source, to: ServicePort(.udp, 111), server) }
                for xid in 0..<20 { forging.sendCall(xid: UInt32(xid)) }
                #expect(try ask(client, way, xid: 99))
                let peers = try here.peers()
                #expect(peers.allSatisfy { !$0.isLocal })
                #expect(peers.contains { $0.address == IPAddress(source) } == arrives)
                // After the filters are known to have judged all that waited.
                usleep(1_200_000)
                for xid in 0..<20 { forging.sendCall(xid: UInt32(xid)) }
                #expect(try ask(client, way, xid: 100))
                let all = try here.peers()
                #expect(all.allSatisfy { !$0.isLocal })
            }
        }

        @Test("a server that this host may not ask is no broadcast address; a broadcast address is one")
        func broadcast() throws {
            try withInterception { client, _, here in
                try run("ip route add prohibit 10.91.2.2")
                let there = try client.socket(to: ServicePort(.udp, 111), ServerSide.address4, from: "192.0.2.7")
                there.sendCall(xid: 1)
                #expect(there.receivesReply(xid: 1))
                var peers = try here.peers()
                #expect(peers.map(\.isBroadcast) == [false])
                let everybody = """
                    import socket
                    all = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                    all.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                    all.sendto(bytes(40), ("192.0.2.255", 111))
                    """
                try run("nsenter -t \(client.processID) -n python3 -c '\(everybody)'")
                for _ in 0..<1000 where peers.count < 2 {
                    usleep(1000)
                    peers = try here.peers()
                }
                #expect(peers.map(\.isBroadcast) == [false, true])
            }
        }
    }
}
