import Firewall
import Glibc
import Portmapper
import Testing

@testable import Netfilter

extension KernelTests {
    @Suite struct Shield {
        private let portmapper = ServicePort(.udp, 111)

        @Test("drops strangers' calls over one transport, lets the named through, counts, and tells the call")
        func drops() throws {
            try withClient { client in
                let table = try NetfilterTable.made(TableShape().logging(to: 111))
                let log = try DropLog(group: 111)
                let udp = try TestSocket(portmapper, "0.0.0.0")
                let tcp = try TestSocket(ServicePort(.tcp, 111), "0.0.0.0")
                defer { withExtendedLifetime((udp, tcp)) {} }
                let named = try client.socket(to: portmapper, from: "192.0.2.8")
                let stranger = try client.socket(to: portmapper)
                stranger.send(1)
                #expect(udp.receive(1) == 1)
                #expect(try table.drops(of: "rpcwarden") == DropCounts())

                let admitted = Example.standing(.v4(0xc000_0208), .v4(0xc000_0208), portmapper)
                #expect(table.commit(.stand(admitted), .shield(.udp, timeout: .seconds(30))) == nil)
                for _ in 0..<3 { stranger.send(9) }
                usleep(100_000)
                #expect(udp.receiveAll() == 0)
                named.send(1)
                #expect(udp.receive(1) == 1)
                #expect(client.connects(to: 111), "the other transport is open")
                #expect(try table.drops(of: "rpcwarden").strangers == 3)
                let told = log.readEvents()
                #expect(told.count == 3)
                #expect(told.first?.kind == .stranger && told.first?.client == Example.client4)
                #expect(told.first?.payload == [9] && told.first?.service == portmapper)

                #expect(table.commit(.shield(.udp, timeout: .milliseconds(50))) == nil)
                usleep(200_000)
                stranger.send(1)
                #expect(udp.receive(1) == 1, "its time is up")
            }
        }

        @Test("a table of ours without one is ours all the same")
        func earlierVersion() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let removed = shell(
                    "nft flush chain inet rpcwarden portmapper && nft delete set inet rpcwarden shielded")
                #expect(removed.status == 0, "\(removed.text)")
                #expect(try table.contents(of: "rpcwarden") != nil)
            }
        }
    }
}
