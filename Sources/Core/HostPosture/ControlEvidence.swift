/// What an auditor asks for: a control's commands, what they should say, and what they say on this host.
public struct ControlEvidence: Hashable, Sendable {
    public enum Verdict: String, Hashable, Sendable {
        case met
        /// Not met to the letter, with other measures in its place: an exception to document.
        case exception
        case notMet = "not-met"
        /// The facts don't suffice.
        case unknown
    }

    public struct Step: Hashable, Sendable {
        public var command: String
        public var expected: String
        public var result: String

        public init(command: String, expected: String, result: String) {
            (self.command, self.expected, self.result) = (command, expected, result)
        }
    }

    public var control: String
    public var title: String
    public var verdict: Verdict
    /// The verdict as a sentence, with its reason.
    public var statement: String
    public var steps: [Step]
    public var remarks: [String]

    public init(
        control: String, title: String, verdict: Verdict, statement: String, steps: [Step], remarks: [String] = []
    ) {
        (self.control, self.title, self.verdict) = (control, title, verdict)
        (self.statement, self.steps, self.remarks) = (statement, steps, remarks)
    }
}
