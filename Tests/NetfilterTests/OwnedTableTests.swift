import Firewall
import Glibc
import Portmapper
import Testing

@testable import Netfilter

extension KernelTests {
    @Suite(.enabled(if: NetfilterTable.supportsOwnedTables()))
    struct OwnedTables {
        private var shape: TableShape {
            var shape = TableShape()
            shape.isOwned = true
            return shape
        }

        @Test("keeps an owned table from everybody else, and from nft flush ruleset")
        func keepsOthersOut() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made(shape)
                #expect(table.commit(Example.operations) == nil)
                #expect(shell("nft flush ruleset").status == 0)
                for command in ["delete table inet rpcwarden", "add element inet rpcwarden guarded '{ tcp . 22 }'"] {
                    #expect(shell("nft " + command).text.contains("Operation not permitted"))
                }
                let other = try NetfilterTable()
                #expect(other.commit(.guardPort(Example.nfs))?.errno == EPERM)
                #expect(other.commit(.makeTable(TableShape()))?.errno == EPERM)
                #expect(try other.contents().granted.count == 2)
                #expect(table.commit(.makeTable(shape)) == nil)
                #expect(try table.contents() == TableContents())
            }
        }

        @Test("an owned table outlives its owner; then anyone may change it, until a new owner makes it anew")
        func outlives() throws {
            try inFreshNamespace {
                var table: NetfilterTable? = try .made(shape)
                #expect(table?.commit(Example.operations) == nil)
                table = nil
                let heir = try NetfilterTable()
                #expect(try heir.contents().granted.count == 2)
                #expect(shell("nft add element inet rpcwarden guarded '{ tcp . 22 }'").status == 0)
                #expect(
                    heir.commit(.unguardPort(ServicePort(.tcp, 22)), .makeTable(shape), .guardPort(Example.nfs)) == nil)
                #expect(shell("nft delete table inet rpcwarden").text.contains("Operation not permitted"))
                #expect(shell("nft flush ruleset").status == 0)
                #expect(try heir.contents().guarded == [Example.nfs])
            }
        }

        @Test("nft flush ruleset takes an owned table away once its owner is gone")
        func flushesTheOrphan() throws {
            try inFreshNamespace {
                var table: NetfilterTable? = try .made(shape)
                #expect(try table?.contents(of: "rpcwarden") != nil)
                table = nil
                #expect(shell("nft flush ruleset").status == 0)
                #expect(try NetfilterTable().contents(of: "rpcwarden") == nil)
            }
        }

        @Test("makes an owned table of one that isn't, and the other way round")
        func changesHands() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                #expect(table.commit(.makeTable(shape)) == nil)
                #expect(shell("nft delete table inet rpcwarden").status != 0)
                #expect(table.commit(.makeTable(TableShape())) == nil)
                #expect(shell("nft delete table inet rpcwarden").status == 0)
            }
        }
    }
}
