import Policy

/// The content of a policy's files; their groups and rules count as if they were in one file.
public struct ParsedPolicy: Sendable {
    static let keys = ["clients", "programs", "servers", "rules"]

    /// Empty if there is any error.
    public private(set) var rules: [Rule] = []
    public private(set) var diagnostics: [Diagnostic] = []

    /// - Parameter servers: the names of the configuration's `gateway.servers`; `nil`: no configuration was read, and
    ///   every name is taken.
    public init(_ files: [SourceFile], names: ProgramNames, servers: [String]? = nil) {
        var reader = PolicyReader(names: names, servers: servers)
        for file in files { reader.read(file) }
        reader.finish()
        if !reader.findings.diagnostics.hasErrors {
            rules = reader.rules
            reader.warn(of: rules, files)
        }
        diagnostics = reader.findings.diagnostics.inReadingOrder(of: files.map(\.path))
    }
}
