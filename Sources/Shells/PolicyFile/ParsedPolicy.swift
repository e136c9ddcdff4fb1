import Policy

/// The content of a policy's files; their groups and rules count as if they were in one file.
public struct ParsedPolicy: Sendable {
    static let keys = ["clients", "programs", "servers", "rules"]

    /// Empty if there is any error.
    public private(set) var rules: [Rule] = []
    public private(set) var diagnostics: [Diagnostic] = []

    /// - Parameters:
    ///   - servers: the names of the configuration's `gateway.servers`; `nil`: no configuration was read, and every
    ///     name is taken.
    ///   - warns: whether there are no other rules, so that what is missing here is missing.
    public init(_ files: [SourceFile], names: ProgramNames, servers: [String]? = nil, warns: Bool = true) {
        var reader = PolicyReader(names: names, servers: servers)
        for file in files { reader.read(file) }
        reader.finish()
        if !reader.findings.diagnostics.hasErrors {
            rules = reader.rules
            if warns {
                let paths = Dictionary(files.map { ($0.name, $0.path) }) { first, _ in first }
                Self.warn(of: rules, paths, first: files.first?.path, servers: servers, &reader.findings)
            }
        }
        diagnostics = reader.findings.diagnostics.inReadingOrder(of: files.map(\.path))
    }

    /// Rules hold their file's name, diagnostics its path.
    ///
    /// - Parameter first: the path of the first file.
    static func warn(
        of rules: [Rule], _ paths: [String: String], first: String?, servers: [String]?, _ findings: inout Findings
    ) {
        if rules.isEmpty, let first {
            findings.warning(
                "the policy has no rules: enforce mode denies every call",
                at: Location(file: first, line: 1, column: 1))
        }
        var warnings = PolicyWarning.warnings(of: rules)
        if servers?.isEmpty == true {
            warnings += rules.filter { $0.at == .anyServer }.map {
                PolicyWarning(
                    location: $0.location,
                    message: "\(quoted(ServerTerm.anyServer)) means no server: the configuration has no gateway.servers"
                )
            }
        }
        for warning in warnings {
            var location = warning.location
            location.file = paths[location.file] ?? location.file
            findings.warning(warning.message, at: location)
        }
    }
}
