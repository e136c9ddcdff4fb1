import Addresses
import Firewall
import Glibc
import Testing

@testable import Netfilter

extension KernelTests {
    /// Real packets: the server is in the test's namespace, the client in another, with 192.0.2.1 and 192.0.2.7 on
    /// a veth.
    @Suite struct Packets {
        @Test("opens a guarded port to whom it is granted, for as long as it is")
        func opensAndCloses() throws {
            try withClient { client in
                let table = try NetfilterTable.made()
                let server = try TestSocket(Example.nfs, "0.0.0.0")
                defer { withExtendedLifetime(server) {} }
                #expect(client.connects(to: 2049))
                #expect(table.commit(.guardPort(Example.nfs)) == nil)
                #expect(!client.connects(to: 2049))
                let key = Example.grant(Example.client4)
                #expect(table.commit(Example.issue(key)) == nil)
                #expect(client.connects(to: 2049))
                #expect(try table.contents().granted.first?.packets ?? 0 > 0)
                #expect(table.commit(.revoke(key)) == nil)
                #expect(!client.connects(to: 2049))
                #expect(table.commit(.addStanding(Example.standing(.v4(0xc000_0200), .v4(0xc000_02ff)))) == nil)
                #expect(client.connects(to: 2049))
                #expect(table.commit(.removeStanding(Example.standing(.v4(0xc000_0200), .v4(0xc000_02ff)))) == nil)
                #expect(!client.connects(to: 2049))
                #expect(table.commit(.makeTable(TableShape(observes: true)), .guardPort(Example.nfs)) == nil)
                #expect(client.connects(to: 2049))
            }
        }

        @Test("renews a grant by its packets, to the table's timeout, and counts each packet once")
        func renews() throws {
            try withClient { client in
                let table = try NetfilterTable.made(TableShape(keep: .seconds(7200)))
                let service = ServicePort(.udp, 2049)
                let server = try TestSocket(service, "0.0.0.0")
                defer { withExtendedLifetime(server) {} }
                let key = Example.grant(Example.client4, service)
                #expect(table.commit(.guardPort(service), Example.issue(key, timeout: .seconds(60))) == nil)
                client.sendDatagrams(5, to: 2049)
                let granted = try #require(try table.contents().granted.first)
                #expect(granted.expiresIn > .seconds(7000))
                #expect(granted.timeout == granted.expiresIn)
                #expect(granted.packets == 5)
                #expect(granted.bytes == 5 * Self.datagramBytes)
                // A query by key gives the same result.
                let absent = Example.grant(.v4(9), service)
                let uses = try table.uses(of: [absent, key], in: "rpcwarden")
                #expect(uses.keys.sorted() == [key])
                #expect(uses[key]?.packets == 5 && uses[key].map { $0.expiresIn > .seconds(7000) } == true)
            }
        }

        @Test("tells the kernel's own count where the administrator's rules use the sets")
        func countsRaw() throws {
            try withClient { client in
                let table = try NetfilterTable.made(TableShape(management: .sets))
                let service = ServicePort(.udp, 2049)
                let server = try TestSocket(service, "0.0.0.0")
                defer { withExtendedLifetime(server) {} }
                let key = Example.grant(Example.client4, service)
                #expect(table.commit(Example.issue(key)) == nil)
                let rule = shell(
                    """
                    nft 'add chain inet rpcwarden admin { type filter hook input priority 0; };
                    add rule inet rpcwarden admin ip saddr . meta l4proto . th dport @granted4 accept'
                    """)
                try #require(rule.status == 0, "\(rule.text)")
                client.sendDatagrams(5, to: 2049)
                let granted = try #require(try table.contents().granted.first)
                #expect(granted.packets == 5)
                #expect(try table.uses(of: [key], in: "rpcwarden")[key]?.packets == 5)
                #expect(granted.bytes == 5 * Self.datagramBytes)
            }
        }

        /// The line end that `echo` writes, behind 28 bytes of headers.
        private static let datagramBytes: UInt64 = 29

        @Test("revokes for good, whatever the client sends meanwhile", arguments: [1, 300])
        func revokesUnderFire(grants: Int) throws {
            try withClient { client in
                let table = try NetfilterTable.made()
                let service = ServicePort(.udp, 2049)
                let key = Example.grant(Example.client4, service)
                let keys = [key] + (1..<UInt32(grants)).map { Example.grant(.v4($0), service) }
                #expect(table.commit(.guardPort(service)) == nil)
                let sender = try Sender(client.socket(to: service), pauseMicroseconds: 0)
                var early = 0
                var survived = 0
                for _ in 0..<200 {
                    #expect(table.commit(keys.map { Example.issue($0) }) == nil)
                    usleep(200)
                    #expect(table.commit(keys.map { .revoke($0) }) == nil)
                    early += try table.lifetimes(of: [key], in: "rpcwarden").count
                    usleep(5_000)
                    #expect(table.settle() == nil)
                    survived += try table.lifetimes(of: [key], in: "rpcwarden").count
                }
                _ = sender.stop()
                #expect(survived == 0)
                // A packet that was under way may bring a grant back later; this is rare.
                #expect(early < 20)
                #expect(try table.grants() == [])
            }
        }

        @Test("keeps a quarantined client from the portmapper")
        func quarantines() throws {
            try withClient { client in
                let table = try NetfilterTable.made()
                let server = try TestSocket(ServicePort(.tcp, 111), "0.0.0.0")
                defer { withExtendedLifetime(server) {} }
                #expect(client.connects(to: 111))
                #expect(table.commit(.quarantine(Example.client4, timeout: .seconds(60))) == nil)
                #expect(!client.connects(to: 111))
                #expect(table.commit(.release(Example.client4)) == nil)
                #expect(client.connects(to: 111))
            }
        }
    }
}
