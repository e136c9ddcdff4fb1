import Addresses
import Firewall
import Glibc
import Testing

@testable import Netfilter

extension NetfilterTable {
    /// Whether grants may stay in a table that is taken over: the kernel tells how many elements a set has, at the latest since then.
    static func countsElements() -> Bool { kernelVersion() >= (6, 18) }

    private static func kernelVersion() -> (Int, Int) {
        let numbers = shell("uname -r").text.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
        return numbers.count == 2 ? (numbers[0], numbers[1]) : (0, 0)
    }
}

extension KernelTests {
    /// The table of an earlier run is taken over; its grants stay in place.
    @Suite(.enabled(if: NetfilterTable.countsElements()))
    struct Takeovers {
        private static let key = Example.grant(Example.client4)

        /// A table whose owner is gone, and that another program has changed since.
        private func orphan(_ commands: String..., operations: [Operation] = Example.operations) throws {
            var table: NetfilterTable? = try .made(.owned)
            #expect(table?.commit(operations) == nil)
            table = nil
            for command in commands {
                let (text, status) = shell("nft '\(command)'")
                #expect(status == 0, "\(command): \(text)")
            }
        }

        private func read(_ table: NetfilterTable) throws -> TableContents {
            try #require(try table.contents(of: "rpcwarden") { _, left in left <= TableShape.owned.keep })
        }

        /// The table's sets and chains, sorted: nft lists sets in the order of their creation.
        private func listing() -> [String] {
            let text = shell(
                "nft -s list table inet rpcwarden | sed -e s/.expires.[0-9a-z]*// -e '/udp timeout 200ms/d' -e '$ d'"
            ).text
            return text.split(separator: "\n").drop { !$0.contains("set ") }.joined(separator: "\n")
                .split(separator: "\t}").map { String($0.drop { $0 == "\n" }) }.sorted()
        }

        @Test("makes all anew but the grants, which keep their counters, whatever somebody added meanwhile")
        func takesOver() throws {
            try inFreshNamespace {
                let operations = Example.operations.filter { $0 != .guardPort(Example.mountd) }
                let table = try NetfilterTable.made(.owned)
                let grants = Example.operations.filter { $0.issued != nil }
                #expect(table.commit(operations) == nil)
                let wanted = listing()
                #expect(table.commit(.deleteTable(name: "rpcwarden")) == nil)

                try orphan(
                    "insert rule inet rpcwarden input accept", "flush chain inet rpcwarden admitted",
                    "add set inet rpcwarden foreign { type ipv4_addr; }",
                    "add chain inet rpcwarden more { type filter hook input priority 0; }",
                    "add rule inet rpcwarden more ip saddr @foreign tcp dport { 1, 2 } goto admitted",
                    "add element inet rpcwarden guarded { tcp . 22 }",
                    "delete element inet rpcwarden granted4 { 192.0.2.7 . tcp . 2049 }",
                    "add element inet rpcwarden granted4 { 192.0.2.7 . tcp . 2049 counter packets 8 bytes 800 timeout 1h"
                        + " comment \"nfs of 192.0.2.7\" }")
                let heir = try NetfilterTable()
                #expect(try heir.claim("rpcwarden"))
                let found = try read(heir)
                #expect(found.grantsMayBeKept)
                let others = operations.filter { !grants.contains($0) }
                #expect(heir.commit([.adoptTable(.owned)] + others) == nil)
                #expect(listing() == wanted)
                let granted = try heir.contents().granted
                #expect(granted.first { $0.key == Self.key }?.packets == 4)
                #expect(granted.count == 2)
                #expect(try heir.owner(of: "rpcwarden") == heir.portID)
            }
        }

        @Test("what is revoked, or issued anew, by the transaction that takes over is not as it was")
        func changesToo() throws {
            try inFreshNamespace {
                let keys = (1...3).map { Example.grant(.v4($0)) }
                try orphan(operations: keys.map { Example.issue($0, comment: "old") })
                let table = try NetfilterTable()
                #expect(try table.claim("rpcwarden"))
                #expect(try read(table).grantsMayBeKept)
                let issue = Example.issue(keys[1], timeout: .seconds(99), comment: "new")
                #expect(table.commit(.adoptTable(.owned), .revoke(keys[0]), issue) == nil)
                let granted = try table.contents().granted.sorted { $0.key < $1.key }
                #expect(granted.map(\.comment) == ["new", "old"])
                #expect(granted.map(\.timeout) == [.seconds(99), .seconds(3600)])
            }
        }

        @Test("takes the settings that changed: how long a grant lives, how many there may be")
        func changesSettings() throws {
            try inFreshNamespace {
                try orphan()
                let table = try NetfilterTable()
                #expect(try table.claim("rpcwarden"))
                #expect(try read(table).grantsMayBeKept)
                var shape = TableShape(keep: .seconds(7200), grantsMax: 100)
                shape.isOwned = true
                #expect(table.commit(.adoptTable(shape)) == nil)
                let listed = shell("nft list set inet rpcwarden granted4").text
                #expect(listed.contains("size 100\n") && listed.contains("timeout 2h\n"), "\(listed)")
                #expect(try table.contents().granted.count == 2)
            }
        }

        @Test(
            "grants may not stay if there is anything else in their sets, or something unknown in the table",
            arguments: [
                "add element inet rpcwarden granted4 { * }",
                "add element inet rpcwarden granted4 { 192.0.2.9 . tcp . 1 timeout 30d }",
                "add element inet rpcwarden granted6 { 2001:db8::9 . 17 . 1 timeout 30d }",
                "add element inet rpcwarden granted4 { 192.0.2.9 . icmp . 1 }",
                "add counter inet rpcwarden something",
            ])
        func foreign(command: String) throws {
            try inFreshNamespace {
                try orphan(command)
                let table = try NetfilterTable()
                #expect(try table.claim("rpcwarden"))
                #expect(try !read(table).grantsMayBeKept)
                #expect(table.commit(.adoptTable(.owned))?.errno == ESTALE)
                #expect(table.commit(.makeTable(.owned)) == nil)
                #expect(try table.contents() == TableContents())
            }
        }

        @Test("grants may not stay if the kernel holds more than it told: expired ones that it has yet to sweep away")
        func expired() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made(.owned)
                #expect(table.commit(Example.issue(Self.key, comment: "a")) == nil)
                #expect(try read(table).grantsMayBeKept)
                // Repeated, because the kernel may sweep at that moment.
                for _ in 0..<20 {
                    let brief = Example.issue(Example.grant(.v4(7)), timeout: .milliseconds(20))
                    #expect(table.commit(brief) == nil)
                    usleep(30_000)
                    let contents = try read(table)
                    #expect(contents.granted.map(\.key) == [Self.key])
                    if !contents.grantsMayBeKept { return }
                }
                Issue.record("they were always swept away")
            }
        }

        @Test("the kernel takes no set of another kind for ours")
        func otherKind() throws {
            try inFreshNamespace {
                try orphan(
                    "flush chain inet rpcwarden guarded_port", "delete set inet rpcwarden granted4",
                    "add set inet rpcwarden granted4 { typeof ip saddr . meta l4proto . th dport; flags dynamic,timeout; }",
                    operations: [])
                let table = try NetfilterTable()
                #expect(try table.claim("rpcwarden"))
                #expect(try read(table).grantsMayBeKept)
                #expect(table.commit(.adoptTable(.owned))?.errno == EEXIST)
                #expect(table.commit(.makeTable(.owned)) == nil)
            }
        }

        @Test("a table is claimed if nobody owns it, and stays as it is; from then on others are kept out")
        func claims() throws {
            try inFreshNamespace {
                let heir = try NetfilterTable()
                #expect(try !heir.claim("rpcwarden"), "there is none")
                #expect(heir.commit(.makeTable(TableShape())) == nil)
                #expect(try !heir.claim("rpcwarden"), "never owned by anybody")
                #expect(heir.commit(.deleteTable(name: "rpcwarden")) == nil)
                var table: NetfilterTable? = try .made(.owned)
                #expect(table?.commit(Example.operations) == nil)
                #expect(try !heir.claim("rpcwarden"), "another's")
                table = nil
                let before = try heir.contents()
                #expect(try heir.claim("rpcwarden"))
                #expect(shell("nft delete table inet rpcwarden").text.contains("Operation not permitted"))
                let after = try heir.contents()
                #expect(after.granted.map(\.key) == before.granted.map(\.key) && after.guarded == before.guarded)
            }
        }

        @Test("is refused without a reading just before, which found that the grants may stay")
        func readsFirst() throws {
            try inFreshNamespace {
                try orphan()
                let table = try NetfilterTable()
                #expect(table.commit(.adoptTable(.owned))?.errno == ESTALE, "not read")
                #expect(try !read(table).grantsMayBeKept, "not ours yet")
                #expect(try table.claim("rpcwarden"))
                #expect(try read(table).grantsMayBeKept)
                #expect(try !table.contents().grantsMayBeKept, "nobody asked")
                #expect(table.commit(.adoptTable(.owned))?.errno == ESTALE, "not the last reading")
                #expect(try read(table).grantsMayBeKept)
                #expect(table.commit(.guardPort(Example.nfs)) == nil)
                #expect(table.commit(.adoptTable(.owned))?.errno == ESTALE, "changed since")
                #expect(try read(table).grantsMayBeKept)
                #expect(table.commit(.adoptTable(.owned)) == nil)
            }
        }

        @Test("drops no packet of an approved client meanwhile")
        func dropsNothing() throws {
            try withClient { client in
                let service = ServicePort(.udp, 2049)
                let server = try TestSocket(service, "0.0.0.0")
                server.growReceiveBuffer()
                let grants = [Example.issue(Example.grant(Example.client4, service), comment: "100003 3")]
                let others = (1...2_000).map { Example.issue(Example.grant(.v4($0)), comment: "mountd") }
                try orphan(operations: [.guardPort(service)] + grants + others)
                let sender = try Sender(client.socket(to: service))
                for _ in 0..<20 {
                    let table = try NetfilterTable()
                    #expect(try table.claim("rpcwarden"))
                    let contents = try read(table)
                    #expect(contents.granted.count == 2_001 && contents.grantsMayBeKept)
                    #expect(table.commit(.adoptTable(.owned), .guardPort(service)) == nil)
                }
                let sent = sender.stop()
                #expect(sent > 1_000)
                #expect(server.receive(sent) == sent)
                #expect(try NetfilterTable().contents().granted.count == 2_001)
            }
        }
    }
}
