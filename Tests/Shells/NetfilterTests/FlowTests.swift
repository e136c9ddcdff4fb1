import Addresses
import Firewall
import Glibc
import Testing

@testable import Netfilter

extension KernelTests {
    @Suite struct FlowTests {
        @Test(
            "cuts the client's flows to the service, and no others",
            arguments: [("127.0.0.1", "127.0.0.2"), ("::1", "::1")], Transport.allCases)
        func cuts(addresses: (client: String, server: String), transport: Transport) throws {
            try inFreshNamespace {
                // The table's ct rules make the kernel track connections.
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

        @Test("cuts the flows of many clients with one look, and no others")
        func cutsMany() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let service = ServicePort(.udp, 4045)
                var sockets = [try TestSocket(service, "127.0.0.2")]
                for _ in 0..<3 { sockets.append(try TestSocket(connectedTo: service, "127.0.0.2")) }
                for socket in sockets.suffix(3) { socket.send(1) }
                defer { withExtendedLifetime((table, sockets)) {} }
                let flows = try Flows()
                let range = { (first: UInt32, last: UInt32) in AddressRange(.v4(first), .v4(last)) }
                // 127.0.0.1 lies between the two ranges, in neither of them.
                let around: Set = [range(0x7f00_0000, 0x7f00_0000), range(0x7f00_0003, 0x7f00_0009)]
                #expect(try flows.cut([service: around]) == 0)
                let with = around.union([range(0x7f00_0001, 0x7f00_0001), AddressRange(.v6(1), .v6(9))])
                #expect(try flows.cut([service: with]) == 3)
            }
        }

        @Test(
            "cuts the flows of many services with few dumps, and no others", arguments: [1, 6, 7, 300],
            ["::1", "127.0.0.1"])
        func cutsManyServices(count: UInt16, address: String) throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let ports = 4000..<4000 + count
                let client = try #require(IPAddress(address))
                let range = AddressRange(client, client.isIPv4 ? .v4(0x7f00_0003) : .v6(3))
                let far: IPAddress = client.isIPv4 ? .v4(0x7f00_0009) : .v6(9)
                let (single, stranger) = (AddressRange(client, client), AddressRange(far, far))
                var cuts: [ServicePort: Set<AddressRange>] = [:]
                for port in ports { cuts[ServicePort(.udp, port)] = [stranger, port % 2 == 0 ? range : single] }
                cuts[ServicePort(.udp, 3000)] = [stranger]
                cuts[ServicePort(.tcp, 3001)] = [range]
                // The flows of a port that is cut for others, of one that isn't cut, and from a port that only TCP has.
                var sockets = try [3000, 2999].map { try TestSocket(connectedTo: ServicePort(.udp, $0), address) }
                sockets.append(
                    try TestSocket(
                        connectedTo: ServicePort(.udp, 2998), address, from: ServicePort(.udp, 3001),
                        fromAddress: address))
                for port in ports { sockets.append(try TestSocket(connectedTo: ServicePort(.udp, port), address)) }
                // As a server that goes on sending.
                sockets.append(
                    try TestSocket(
                        connectedTo: ServicePort(.udp, 2998), address, from: ServicePort(.udp, 4000),
                        fromAddress: address))
                for socket in sockets { socket.send(1) }
                defer { withExtendedLifetime((table, sockets)) {} }
                let flows = try Flows()
                let first = flows.socket.nextSequence()
                #expect(try flows.cut(cuts) == Int(count) + 1)
                let dumps = Int(flows.socket.nextSequence() - first) - 1 - (Int(count) + 1)
                #expect(cuts.count <= Flows.looksMax ? dumps < 2 * cuts.count : dumps == 1)
                #expect(try flows.cut(cuts) == 0)
                for port: UInt16 in [3000, 2999, 2998] {
                    #expect(try flows.cut(client: client, service: ServicePort(.udp, port)) == 1)
                }
            }
        }

        @Test("goes on until no flow is left, however few are read at a time", arguments: 1...4)
        func cutsInRounds(roundMax: Int) throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let service = ServicePort(.udp, 4045)
                var sockets = [try TestSocket(service, "127.0.0.2")]
                for _ in 0..<3 { sockets.append(try TestSocket(connectedTo: service, "127.0.0.2")) }
                for socket in sockets.suffix(3) { socket.send(1) }
                defer { withExtendedLifetime((table, sockets)) {} }
                let flows = try Flows(roundMax: roundMax)
                let client = IPAddress.v4(0x7f00_0001)
                var noted: Set<GrantKey> = []
                let count = try flows.cut([service: [AddressRange(client, client)]]) {
                    found throws(NetfilterError) in noted.formUnion(found)
                }
                #expect(count == 3 && noted == [GrantKey(client: client, service: service)])
                #expect(try flows.cut(client: client, service: service) == 0)
            }
        }
    }
}

extension Flows {
    func cut(client: IPAddress, service: ServicePort) throws -> Int {
        try cut([service: [AddressRange(client, client)]])
    }
}
