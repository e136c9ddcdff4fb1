import Policy

/// The content of a policy's files; their groups and rules count as if they were in one file.
public struct ParsedPolicy: Sendable {
    static let keys = ["clients", "programs", "rules"]

    /// Empty if there is any error.
    public private(set) var rules: [Rule] = []
    public private(set) var diagnostics: [Diagnostic] = []

    public init(_ files: [SourceFile], names: ProgramNames) {
        var reader = PolicyReader(names: names)
        for file in files { reader.read(file) }
        reader.finish()
        if !reader.findings.diagnostics.hasErrors {
            rules = reader.rules
            reader.warn(of: rules, files)
        }
        diagnostics = reader.findings.diagnostics.inReadingOrder(of: files.map(\.path))
    }
}
