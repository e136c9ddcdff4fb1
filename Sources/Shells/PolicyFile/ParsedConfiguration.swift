import Configuration
import Policy

/// What rpcwarden.yaml says.
public struct ParsedConfiguration: Sendable {
    /// Defaults stand in for what is missing and for what is wrong.
    public private(set) var settings = Settings()
    public private(set) var diagnostics: [Diagnostic] = []
    /// The `policy` key's value; the file's beginning where it has none.
    public private(set) var policyLocation: Location

    public init(_ source: SourceFile) {
        policyLocation = Location(file: source.path, line: 1, column: 1)
        var findings = Findings()
        if let root = YAMLDocument.root(of: source, &findings) {
            [Field<Settings>].configuration.read(
                root, "the configuration", into: &settings, &findings,
                elsewhere: (
                    ParsedPolicy.keys, "is a key of a policy, not of the configuration; move it to a policy file"
                ))
            settings.findContradictions(in: root, &findings)
            policyLocation = root.value(at: "policy")?.location ?? policyLocation
        }
        diagnostics = findings.diagnostics.inReadingOrder(of: [source.path])
    }

    static var keys: [String] { [Field<Settings>].configuration.map(\.key) }
}
