/// A property of the host that should be changed (rpcwarden(8), doctor).
public struct Finding: Hashable, Sendable, Codable {
    public enum Severity: String, Hashable, Sendable, Codable {
        case high
        case medium
        case low
        /// For information only: nothing has to be changed, and `doctor` still exits with 0.
        case note
    }

    /// A stable name, for scripts.
    public var finding: String
    public var severity: Severity
    public var what: String
    public var why: String
    /// Commands, in the order to run them; a text behind `#` describes a step that no command does.
    public var mend: [String]

    public init(_ finding: String, _ severity: Severity, what: String, why: String, mend: [String] = []) {
        self.finding = finding
        self.severity = severity
        self.what = what
        self.why = why
        self.mend = mend
    }
}
