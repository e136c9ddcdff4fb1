import Policy
import Testing

@Suite("the servers of a rule") struct ServerScopeTests {
    @Test(
        "each scope covers this host or servers, never both",
        arguments: [
            (ServerScope.thisHost, [true, false, false]), (.servers(["a"]), [false, true, false]),
            (.servers(["a", "b"]), [false, true, true]), (.anyServer, [false, true, true]),
        ])
    func covers(scope: ServerScope, covered: [Bool]) {
        #expect([nil, "a", "b"].map { scope.covers($0) } == covered)
    }

    @Test("the rules about a server are those that cover it, in their order")
    func about() {
        let place = Location(file: "p.yaml", line: 1, column: 1)
        let scopes: [(String, ServerScope)] = [("here", .thisHost), ("a", .servers(["a"])), ("any", .anyServer)]
        let rules = scopes.map { Rule(name: $0, location: place, from: [], at: $1, to: []) }
        #expect(rules.about(nil).map(\.name) == ["here"])
        #expect(rules.about("a").map(\.name) == ["a", "any"])
        #expect(rules.about("b").map(\.name) == ["any"])
    }
}
