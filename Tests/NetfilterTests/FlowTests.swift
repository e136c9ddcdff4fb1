import Firewall
import Glibc
import Portmapper
import Testing

@testable import Netfilter

extension KernelTests {
    @Suite struct FlowTests {
        @Test(
            "cuts the client's flows to the service, and no others",
            arguments: [("127.0.0.1", "127.0.0.2"), ("::1", "::1")], Transport.allCases)
        func cuts(addresses: (client: String, server: String), transport: Transport) throws {
            try inFreshNamespace {
                // Its ct rules make the kernel track connections.
                let table = try NetfilterTable.made()
                let service = ServicePort(transport, 4045)
                let other = ServicePort(transport, 4046)
                let server = addresses.server
                var sockets = [try TestSocket(service, server), try TestSocket(other, server)]
                for target in [service, service, other] { sockets.append(try TestSocket(connectedTo: target, server)) }
                for socket in sockets.suffix(3) { socket.send(1) }
                defer { withExtendedLifetime((table, sockets)) {} }
                let client = try #require(IPAddress(addresses.client))
                let flows = try Flows()
                #expect(try flows.cut(client: .v4(0x7f00_0009), service: service) == 0)
                #expect(try flows.cut(client: client, service: ServicePort(transport == .tcp ? .udp : .tcp, 4045)) == 0)
                #expect(try flows.cut(client: client, service: service) == 2)
                #expect(try flows.cut(client: client, service: service) == 0)
                #expect(try flows.cut(client: client, service: other) == 1)
            }
        }
    }
}
