import Addresses
import Firewall
import Testing

@testable import Netfilter

extension KernelTests {
    /// Flows that servers begin through this gateway, whose ports are all closed to others.
    @Suite struct GatewayOwnFlows {
        private static let service = ServicePort(.udp, 2049)
        private static let there = ServicePort(.udp, 5000)

        /// The server at 10.91.2.2 and fd91:2::2, and one at the client's address.
        private static var shape: TableShape {
            var shape = TableShape()
            var gateway = GatewayShape(addresses: [Example.server4, Example.server6, .v4(0xc000_0208)])
            gateway.closed = (1...2).map { .init(ServerID(rawValue: $0), .udp, 1...UInt16.max) }
            shape.gateway = gateway
            return shape
        }

        /// Else the first packets of IPv6 would wait until a new link has found its address unique.
        private func meet(_ neighbour: String, _ processID: String, from router: String) throws {
            let sockets = [
                try TestSocket(Self.there, router),
                try inNamespace(of: processID) { try TestSocket(Self.there, neighbour) },
            ]
            try TestSocket(connectedTo: Self.there, neighbour).send(1)
            try inNamespace(of: processID) { try TestSocket(connectedTo: Self.there, router).send(1) }
            for socket in sockets { #expect((0..<5).contains { _ in socket.receive(1) == 1 }) }
        }

        @Test("a packet in a server's name, from another side than its own, opens no closed port of the server")
        func forged() throws {
            for (server, client, router, bits) in [
                (ServerSide.address4, "192.0.2.9", TestClient.server4, 32),
                (ServerSide.address6, "2001:db8::9", TestClient.server6, 128),
            ] {
                try withRoutedServer(isStrict: false) { side, there in
                    _ = try NetfilterTable.made(Self.shape)
                    try meet(bits == 128 ? "2001:db8::7" : "192.0.2.7", side.processID, from: router)
                    try meet(server, there.processID, from: bits == 128 ? "fd91:2::1" : "10.91.2.1")
                    let inside = "nsenter -t \(side.processID) -n ip"
                    // A host that has the address only later: else the packet wouldn't leave it.
                    try run("\(inside) route add \(client)/\(bits) via \(router)")
                    let socket = try inNamespace(of: there.processID) { try TestSocket(Self.service, server) }
                    try side.inside {
                        try TestSocket(forging: server, port: Self.service.port, to: Self.there, client).send(1)
                    }
                    try run(
                        """
                        \(inside) route del \(client)/\(bits) via \(router)
                        \(inside) addr add \(client)/\(bits) dev client \(bits == 128 ? "nodad" : "")
                        """)
                    let caller = try side.inside {
                        try TestSocket(connectedTo: Self.service, server, from: Self.there, fromAddress: client)
                    }
                    for _ in 0..<3 { caller.send(1) }
                    #expect(socket.receiveNone(), "\(server)")
                }
            }
        }

        @Test(
            "what a server asks is answered, also by a client that is a server itself",
            arguments: ["192.0.2.7", "192.0.2.8"])
        func asks(other: String) throws {
            try withRoutedServer { client, server in
                _ = try NetfilterTable.made(Self.shape)
                let answering = try client.inside {
                    try TestSocket(
                        connectedTo: Self.there, ServerSide.address4, from: Self.service, fromAddress: other)
                }
                let asking = try inNamespace(of: server.processID) {
                    try TestSocket(
                        connectedTo: Self.service, other, from: Self.there, fromAddress: ServerSide.address4)
                }
                answering.send(1)
                #expect(asking.receiveNone(), "nobody asked")
                asking.send(1)
                answering.send(1)
                #expect(asking.receive(1) == 1)
            }
        }
    }
}
