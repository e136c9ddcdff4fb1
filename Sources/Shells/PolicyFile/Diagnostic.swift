import Policy

/// One problem of a file, as `check` prints it.
public struct Diagnostic: Hashable, Sendable, CustomStringConvertible {
    public enum Severity: String, Hashable, Sendable {
        /// The file can't be used.
        case error
        /// The file is valid, but probably doesn't mean what its author wanted.
        case warning
    }

    public var location: Location
    public var severity: Severity
    public var message: String
    /// The suggested correction.
    public var hint: String?

    public init(_ severity: Severity, at location: Location, _ message: String, hint: String? = nil) {
        self.location = location
        self.severity = severity
        self.message = message
        self.hint = hint
    }

    /// A file of a policy's folder is left out because of its name.
    public static func misnamed(_ path: String) -> Diagnostic {
        Diagnostic(
            .warning, at: Location(file: path, line: 1, column: 1), "not read: its name doesn't end in .yaml",
            hint: "rename it")
    }

    /// `policy.yaml:12:9: error: unknown program "mountdd"; did you mean "mountd"?`
    public var description: String { "\(location): \(severity.rawValue): \(text)" }

    /// The message with its hint.
    public var text: String { message + (hint.map { "; \($0)" } ?? "") }
}

/// Why a text is not a valid value; the caller adds the location to make a ``Diagnostic``.
struct Mistake: Error {
    var message: String
    var hint: String?
    /// Searches for the word that was meant, which takes as long as there are words.
    var suggestion: (@Sendable () -> String?)?

    init(_ message: String, hint: String? = nil) {
        self.message = message
        self.hint = hint
    }

    /// - Parameter hint: where there is no such word.
    init(_ message: String, hint: String? = nil, suggestion: @escaping @Sendable () -> String?) {
        self.message = message
        self.hint = hint
        self.suggestion = suggestion
    }
}
