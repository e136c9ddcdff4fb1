import Addresses
import Policy
import Testing

@Suite("the policies of many servers") struct PolicySetTests {
    private static func rule(_ number: Int, at scope: ServerScope) -> Rule {
        Rule(
            name: "\(number)", location: Location(file: "policy.yaml", line: number + 1, column: 1),
            from: [.prefix(Prefix(.v4(0x0a00_0000 + UInt32(number))))], at: scope, to: [.nfs])
    }

    @Test("servers with the same rules share one policy")
    func shared() {
        let rules = [Self.rule(0, at: .anyServer), Self.rule(1, at: .servers(["c"]))]
        let set = PolicySet(rules: rules, servers: ["a", "b", "c"])
        #expect(set[1].policy === set[2].policy && set[1].policy !== set[3].policy)
        #expect(set[0].policy.rules.isEmpty && set[3].policy.rules.count == 2)
        #expect(set.lists(.v4(0x0a00_0001)) && !set.lists(.v4(0x0a00_0002)))
    }

    @Test("a rule of its own for each server costs no comparison with all others", .timeLimit(.minutes(1)))
    func many() {
        let names = (0..<1000).map { "server\($0)" }
        let common = (0..<300).map { Self.rule($0, at: .anyServer) }
        let own = names.enumerated().map { Self.rule(300 + $0, at: .servers([$1])) }
        let set = PolicySet(rules: common + own, servers: names)
        #expect(set[1000].policy.rules.count == 301)
        #expect(set[1000].policy.lookup(.nfs, over: .tcp, by: .v4(0x0a00_0000 + 1299)) != .stranger)
        #expect(set[999].policy.lookup(.nfs, over: .tcp, by: .v4(0x0a00_0000 + 1299)) == .stranger)
    }

    @Test("is complete once every host name of every server's rules has its addresses")
    func complete() {
        var rule = Self.rule(0, at: .servers(["b"]))
        rule.from.append(.host("ws.example"))
        let rules = [Self.rule(1, at: .thisHost), rule]
        #expect(!PolicySet(rules: rules, servers: ["a", "b"]).isComplete)
        let known = ["ws.example": HostAddresses([.v4(1)])]
        #expect(PolicySet(rules: rules, addresses: known, servers: ["a", "b"]).isComplete)
    }
}
