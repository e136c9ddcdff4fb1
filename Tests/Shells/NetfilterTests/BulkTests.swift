import Firewall
import Glibc
import Testing

@testable import Netfilter

extension KernelTests {
    @Suite struct Bulk {
        @Test("stands 10,000 ranges in one transaction, and takes them away in one")
        func standing() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let keys = (0..<10_000).map { Example.standing(.v4($0 << 8), .v4($0 << 8 | 127)) }
                #expect(table.commit(keys.map { .addStanding($0) }) == nil)
                #expect(try table.contents().standing == Set(keys))
                #expect(table.commit(keys.map { .removeStanding($0) }) == nil)
                #expect(try table.contents().standing == [])
            }
        }

        @Test("issues 100,000 grants in one transaction")
        func issuing() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made(TableShape(grantsMax: 200_000))
                let operations = (1...100_000).map { Example.issue(Example.grant(.v4($0)), comment: "mountd") }
                #expect(table.commit(operations) == nil)
                let granted = try table.contents().granted
                #expect(granted.count == 100_000)
                #expect(granted.allSatisfy { $0.comment == "mountd" })
                #expect(table.commit(Example.issue(Example.grant(.v4(200_000)))) == nil)
            }
        }
    }
}
