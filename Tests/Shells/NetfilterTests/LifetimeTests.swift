import Firewall
import Glibc
import Testing

@testable import Netfilter

extension KernelTests {
    @Suite struct Lifetimes {
        @Test("tells what is left of the grants that are there, and leaves out the others")
        func tellsWhatIsLeft() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let first = Example.grant(Example.client4)
                let second = Example.grant(Example.client6, Example.mountd)
                let expired = Example.grant(.v4(1))
                #expect(
                    table.commit(
                        Example.issue(first, timeout: .seconds(3600), expiresIn: .seconds(100)),
                        Example.issue(second, timeout: .seconds(60)),
                        Example.issue(expired, timeout: .milliseconds(1))) == nil)
                usleep(20_000)
                let absent = [expired, Example.grant(Example.client4, Example.mountd), Example.grant(Example.client6)]
                let lifetimes = try table.lifetimes(
                    of: [absent[0], first, absent[1], absent[2], second], in: "rpcwarden")
                #expect(Set(lifetimes.keys) == [first, second])
                #expect(lifetimes[first].map { $0 > .seconds(90) && $0 <= .seconds(100) } == true)
                #expect(lifetimes[second].map { $0 > .seconds(50) && $0 <= .seconds(60) } == true)
                #expect(try table.lifetimes(of: [], in: "rpcwarden") == [:])
                #expect(try table.lifetimes(of: absent, in: "rpcwarden") == [:])
            }
        }

        @Test("asks for 3,000 keys, twice named and half of them absent, in one call")
        func asksForMany() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let keys = (1...3_000).map { Example.grant(.v4($0)) }
                let present = keys.filter { $0.client < .v4(1501) }
                #expect(table.commit(present.map { Example.issue($0) }) == nil)
                #expect(Set(try table.lifetimes(of: keys + keys, in: "rpcwarden").keys) == Set(present))
            }
        }

        @Test("a grant that never expires is there for ever")
        func neverExpires() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let added = shell("nft add element inet rpcwarden granted4 '{ 192.0.2.7 . tcp . 2049 timeout 0s }'")
                try #require(added.status == 0, "\(added.text)")
                let left = try table.lifetimes(of: [Example.grant(Example.client4)], in: "rpcwarden")
                #expect(left[Example.grant(Example.client4)].map { $0 > .seconds(86_000) } == true)
            }
        }

        @Test("says that the table is gone, or its set, rather than that nothing is left of the grants")
        func tableIsGone() throws {
            try inFreshNamespace {
                let table = try NetfilterTable()
                let missing = NetfilterError.failed(
                    doing: "reading grants of table inet rpcwarden", errno: ENOENT, detail: "No such file or directory")
                #expect(throws: missing) {
                    try table.lifetimes(of: [Example.grant(Example.client4)], in: "rpcwarden")
                }
                _ = shell("nft add table inet rpcwarden")
                #expect(throws: missing) {
                    try table.lifetimes(of: [Example.grant(Example.client4)], in: "rpcwarden")
                }
                // Earlier results must not answer a later question.
                #expect(table.commit(.makeTable(TableShape())) == nil)
                #expect(try table.lifetimes(of: [Example.grant(Example.client4)], in: "rpcwarden") == [:])
            }
        }
    }
}
