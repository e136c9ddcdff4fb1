import Firewall
import Netfilter
import Testing

extension KernelTests {
    @Suite("A table that holds the administrator's rules and our sets")
    struct SharedTable {
        private static let sets = TableShape(management: .sets)
        private static let administrator = """
            nft -f - <<'END'
            table inet rpcwarden {
                set granted4 {
                    typeof ip saddr . meta l4proto . th dport; size 65536; flags dynamic,timeout; counter; timeout 1d
                }
                set standing6 { typeof ip6 saddr . meta l4proto . th dport; flags interval; }
                chain host_input {
                    type filter hook input priority filter; policy accept;
                    ip saddr . meta l4proto . th dport @granted4 accept
                    ip6 saddr . meta l4proto . th dport @standing6 accept
                }
            }
            END
            """

        private static func load() throws {
            let output = shell(administrator)
            try #require(output.status == 0, "\(output.text)")
        }

        private static func chains() -> String { shell("nft list chains inet").text }

        @Test("keeps their chain and takes over their sets, each time that it is made anew")
        func keepsChains() throws {
            try inFreshNamespace {
                try Self.load()
                let table = try NetfilterTable()
                #expect(try table.contents(of: "rpcwarden", isShared: true) == TableContents())
                #expect(throws: NetfilterError.self) { try table.contents(of: "rpcwarden") }
                for _ in 0..<2 {
                    #expect(table.commit([.makeTable(Self.sets)] + Example.elements) == nil)
                    let contents = try table.contents()
                    #expect(contents.granted.count == 2 && contents.guarded.count == 2 && contents.standing.count == 4)
                    #expect(shell("nft list chain inet rpcwarden host_input").text.contains("@standing6 accept"))
                }
                try Self.load()
                #expect(try table.contents().granted.count == 2, "their file may be loaded again")
            }
        }

        @Test("is emptied of what its new contents don't name")
        func emptied() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made(Self.sets)
                try Self.load()
                #expect(table.commit(Example.elements) == nil)
                #expect(table.commit(.makeTable(Self.sets), .guardPort(Example.nfs)) == nil)
                var expected = TableContents()
                expected.guarded = [Example.nfs]
                #expect(try table.contents() == expected)
                #expect(Self.chains().contains("host_input"))
            }
        }

        @Test("takes the place of a guard's table, and a guard's takes its place", arguments: [false, true])
        func changesManagement(isOwned: Bool) throws {
            guard !isOwned || NetfilterTable.supportsOwnedTables else { return }
            try inFreshNamespace {
                var guarding = TableShape()
                guarding.isOwned = isOwned
                let table = try NetfilterTable.made(guarding)
                #expect(table.commit([.makeTable(Self.sets)] + Example.elements) == nil)
                #expect(!Self.chains().contains("guarded_port"))
                #expect(try table.contents().granted.count == 2)
                #expect(try table.owner(of: "rpcwarden") == nil)
                try Self.load()
                #expect(table.commit([.makeTable(guarding)] + Example.operations) == nil)
                #expect(Self.chains().contains("guarded_port") && !Self.chains().contains("host_input"))
            }
        }

        @Test("is not taken for ours where they declared one of our sets with another key")
        func otherKind() throws {
            try inFreshNamespace {
                let made = shell("nft 'add table inet rpcwarden; add set inet rpcwarden guarded { type ipv4_addr; }'")
                #expect(made.status == 0, "\(made.text)")
                #expect(throws: NetfilterError.foreign(table: "rpcwarden", missing: ["guarded"])) {
                    try NetfilterTable().contents(of: "rpcwarden", isShared: true)
                }
            }
        }
    }
}
