/// Something about the host that should be otherwise (rpcwarden(8), doctor).
public struct Finding: Hashable, Sendable, Codable {
    public enum Severity: String, Hashable, Sendable, Codable {
        case high
        case medium
        case low
        /// Worth knowing; nothing has to be mended, and `doctor` still ends with 0.
        case note
    }

    /// A name that scripts may look for.
    public var finding: String
    public var severity: Severity
    public var what: String
    public var why: String
    /// Commands, in their order; what no command does is said behind a `#`.
    public var mend: [String]

    public init(_ finding: String, _ severity: Severity, what: String, why: String, mend: [String] = []) {
        self.finding = finding
        self.severity = severity
        self.what = what
        self.why = why
        self.mend = mend
    }
}
