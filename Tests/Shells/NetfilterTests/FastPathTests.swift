import Addresses
import Firewall
import Glibc
import Testing

@testable import Netfilter

extension KernelTests {
    /// A client that sends more than `PacketRate.admitted`, so that most of its packets take the fast path.
    @Suite struct FastPath {
        private static let service = ServicePort(.udp, 2049)

        /// Counts the packets to the port that reach other tables without rpcwarden's mark.
        private static func countUnmarked() throws {
            let made = shell(
                """
                nft 'table inet other { chain input { type filter hook input priority 0;
                udp dport 2049 meta mark and 0x2000 == 0 counter; }; }'
                """)
            try #require(made.status == 0, "\(made.text)")
        }

        private static func counted(_ chain: String = "input") -> Int? {
            shell("nft list chain inet other \(chain)").text.firstMatch(of: /packets (\d+)/).flatMap { Int($0.1) }
        }

        @Test(
            "renews a grant under a stream, a second late at the most, loses and leaves unmarked nothing",
            arguments: [(Example.client4, TestClient.server4), (Example.client6, TestClient.server6)])
        func renews(address: IPAddress, server: String) throws {
            try withClient { client in
                let table = try NetfilterTable.made(TableShape(keep: .seconds(7200)))
                let socket = try TestSocket(Self.service, server)
                socket.growReceiveBuffer()
                try Self.countUnmarked()
                let key = Example.grant(address, Self.service)
                #expect(table.commit(.guardPort(Self.service), Example.issue(key, timeout: .seconds(60))) == nil)
                let sender = try Sender(client.socket(to: Self.service, server), pauseMicroseconds: 0)
                var received = socket.receive(1)
                for _ in 0..<14 {
                    usleep(220_000)
                    received += socket.receiveAll()
                    let use = try #require(try table.uses(of: [key], in: "rpcwarden")[key])
                    #expect(use.expiresIn > .seconds(7198), "renewed lately")
                }
                let sent = sender.stop()
                received += socket.receive(sent - received)
                #expect(received == sent)
                let packets = try #require(try table.uses(of: [key], in: "rpcwarden")[key]).packets
                print("\(sent) sent, \(packets) took the slow path")
                #expect(packets > 200 && packets < sent, "\(packets) of \(sent)")
                #expect(Self.counted() == 0)
                // After each pause, the next packets take the slow path, and are counted.
                usleep(1_100_000)
                let quiet = try client.socket(to: Self.service, server)
                for _ in 0..<5 { quiet.send(1) }
                #expect(socket.receive(5) == 5)
                #expect(try table.uses(of: [key], in: "rpcwarden")[key]?.packets == packets + 5)
            }
        }

        @Test("revocation stops a stream at once, though it goes the fast path and does not pause")
        func revokes() throws {
            try withClient { client in
                let table = try NetfilterTable.made()
                let flows = try Flows()
                let server = try TestSocket(Self.service, "0.0.0.0")
                server.growReceiveBuffer()
                let key = Example.grant(Example.client4, Self.service)
                #expect(table.commit(.guardPort(Self.service), Example.issue(key)) == nil)
                let sender = try Sender(client.socket(to: Self.service), pauseMicroseconds: 0)
                #expect(sender.sends(5000))
                #expect(try becomesTrue { try Self.isRecent(key, table) })
                #expect(table.commit(.revoke(key)) == nil)
                // As after an expiry, the flow itself is left alone: its packets still arrive until it is cut.
                _ = server.receiveAll()
                #expect(server.receive(1) > 0)
                let start = ContinuousClock.now
                #expect(try flows.cut(client: Example.client4, service: Self.service) > 0)
                #expect(sender.sends(100))
                _ = server.receiveAll()
                #expect(sender.sends(5000))
                let isRecent = try Self.isRecent(key, table)
                #expect(isRecent || ContinuousClock.now - start > .seconds(1), "it is the flow's bit that is missing")
                #expect(server.receiveAll() == 0)
                _ = sender.stop()
            }
        }

        private static func isRecent(_ key: GrantKey, _ table: NetfilterTable) throws -> Bool {
            shell("nft list set inet rpcwarden recent4").text.contains("\(key.client) . udp . 2049")
        }

        @Test("a bit that others set in the connection's mark opens nothing: no guarded port, and not the portmapper's")
        func foreignBit() throws {
            try withClient { client in
                let table = try NetfilterTable.made()
                let portmapper = ServicePort(.udp, 111)
                let (guarded, mapper, free) = (
                    try TestSocket(Self.service, "0.0.0.0"), try TestSocket(portmapper, "0.0.0.0"),
                    try TestSocket(ServicePort(.udp, 5000), "0.0.0.0")
                )
                let made = shell(
                    """
                    nft 'table inet other {
                    chain first { type filter hook prerouting priority -100; ct mark set ct mark or 0x20000000; }
                    chain input { type filter hook input priority 0; udp dport 5000 meta mark and 0x2000 != 0 counter; }
                    }'
                    """)
                try #require(made.status == 0, "\(made.text)")
                let granted = Example.grant(.v4(0xc000_0208), Self.service)
                #expect(table.commit(.guardPort(Self.service), Example.issue(granted)) == nil)
                let sender = try Sender(client.socket(to: Self.service, from: "192.0.2.8"), pauseMicroseconds: 0)
                #expect(try becomesTrue { try Self.isRecent(granted, table) })
                _ = sender.stop()
                _ = guarded.receiveAll()

                #expect(table.commit(.quarantine(Example.client4, timeout: .seconds(60))) == nil)
                for service in [Self.service, portmapper, ServicePort(.udp, 5000)] {
                    let stranger = try client.socket(to: service)
                    for _ in 0..<3 { stranger.send(1) }
                }
                #expect(free.receive(3) == 3)
                #expect(guarded.receiveAll() == 0 && mapper.receiveAll() == 0)
                #expect(Self.counted() == 0, "no mark for whom we don't guard")
            }
        }
    }
}
