import Policy
import PolicyFile

extension FuzzTarget {
    /// A file of YAML, taken for a policy and for the configuration. libyaml and the diagnostics allocate as they like.
    static let policy = FuzzTarget(name: "policy", allocationFactor: nil) { bytes in
        let source = SourceFile(name: "fuzz.yaml", bytes: Array(bytes))
        let parsed = ParsedPolicy([source], names: names)
        require(parsed.rules.isEmpty || !parsed.diagnostics.hasErrors, "rules of a policy with errors")
        _ = Policy(rules: parsed.rules)
        _ = ParsedConfiguration(source)
    }

    private static let names = ProgramNames(etcRPC: "portmapper 100000\nnfs 100003\nmountd 100005\nstatus 100024\n")
}
