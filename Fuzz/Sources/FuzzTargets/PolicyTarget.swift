import Policy
import PolicyFile

extension FuzzTarget {
    /// A YAML file, parsed as a policy and as the configuration. Allocations of libyaml and the diagnostics are
    /// not limited.
    static let policy = FuzzTarget(name: "policy", allocationFactor: nil) { bytes in
        let source = SourceFile(name: "fuzz.yaml", bytes: Array(bytes))
        let parsed = ParsedPolicy([source], names: names)
        require(parsed.rules.isEmpty || !parsed.diagnostics.hasErrors, "rules of a policy with errors")
        _ = Policy(rules: parsed.rules)
        _ = ParsedConfiguration(source)
    }

    private static let names = ProgramNames(etcRPC: "portmapper 100000\nnfs 100003\nmountd 100005\nstatus 100024\n")
}
