import Addresses
import Firewall
import Glibc
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
                #expect(table.commit(.addStanding(admitted), .shield(.udp, timeout: .seconds(30))) == nil)
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

        @Test("drops them before conntrack, but only what is for this host's own addresses, until it is taken away")
        func dropsEarly() throws {
            try withClient { client in
                let table = try NetfilterTable.made()
                let udp = try TestSocket(portmapper, "0.0.0.0")
                let made = shell(
                    """
                    nft 'table inet other {
                    chain tracked { type filter hook prerouting priority -150; udp dport 111 counter; };
                    chain routed { type filter hook forward priority 0; udp dport 111 counter; }; }' &&
                    sysctl -qw net.ipv4.ip_forward=1 && ip route add 198.51.100.0/24 via 192.0.2.7 &&
                    nsenter -t \(client.processID) -n sh -c '
                    ip route add 198.51.100.0/24 via 192.0.2.1 && ip route add 224.0.0.0/4 dev client'
                    """)
                try #require(made.status == 0, "\(made.text)")
                let sockets = try ["192.0.2.1", "198.51.100.2", "224.0.0.1"].map {
                    try client.socket(to: portmapper, $0)
                }
                #expect(table.commit(.shield(.udp, timeout: .seconds(30))) == nil)
                for _ in 0..<3 { sockets[0].send(1) }
                #expect(try table.drops(of: "rpcwarden").strangers == 3)
                #expect(Self.counted("tracked") == 0)
                sockets[1].send(1)
                #expect(Self.counted("tracked") == 1 && Self.counted("routed") == 1, "it isn't ours to drop")
                sockets[2].send(1)
                #expect(Self.counted("tracked") == 2)
                #expect(try table.drops(of: "rpcwarden").strangers == 4, "broadcasts are dropped by the input hook")
                let here = try TestSocket(connectedTo: portmapper, "192.0.2.1")
                here.send(1)
                #expect(udp.receive(1) == 1, "lo never")

                #expect(table.commit(.unshield, .unshield) == nil)
                #expect(shell("nft list chain inet rpcwarden shield").status != 0)
                sockets[0].send(1)
                #expect(try table.drops(of: "rpcwarden").strangers == 5, "until its time is up")
                #expect(Self.counted("tracked") == 4)
                #expect(table.commit(.shield(.udp, timeout: .seconds(30)), .shield(.tcp, timeout: .seconds(30))) == nil)
                sockets[0].send(1)
                #expect(Self.counted("tracked") == 4)
                #expect(table.commit(.makeTable(TableShape()), .unshield) == nil)
                sockets[0].send(1)
                #expect(udp.receive(1) == 1)
            }
        }

        private static func counted(_ chain: String) -> Int? {
            shell("nft list chain inet other \(chain)").text.firstMatch(of: /packets (\d+)/).flatMap { Int($0.1) }
        }

        @Test("a table of ours without it, or without the sets of the fast path, is ours all the same")
        func earlierVersion() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let removed = shell(
                    """
                    nft 'flush chain inet rpcwarden portmapper; flush chain inet rpcwarden input
                    flush chain inet rpcwarden admitted; flush chain inet rpcwarden short_way
                    flush chain inet rpcwarden output; flush chain inet rpcwarden begun_here
                    delete set inet rpcwarden shielded; delete set inet rpcwarden settling
                    delete set inet rpcwarden recent4; delete set inet rpcwarden recent6
                    delete set inet rpcwarden revoked4; delete set inet rpcwarden revoked6'
                    """)
                #expect(removed.status == 0, "\(removed.text)")
                #expect(try table.contents(of: "rpcwarden") != nil)
            }
        }
    }
}
