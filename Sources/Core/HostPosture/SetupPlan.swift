/// The steps of `setup`, in order; computed without changing the host.
public struct SetupPlan: Hashable, Sendable {
    public enum Action: Hashable, Sendable {
        case makeFolder(String)
        case writeFile(String, text: String)
        case removeFile(String)
        /// Where the new path exists, a number is put behind it.
        case moveFile(String, to: String)
        /// Only if the folder is empty.
        case removeFolder(String)
        case run([String])
        /// Asks rpcbind again; the programs that were registered before must be registered.
        case compareRegistrations
    }

    public enum Step: Hashable, Sendable {
        /// With the entries to record for `--undo` before the action is done.
        case act(Action, record: [SetupRecord.Entry])
        case alreadySo(String)
        case note(String)
        /// What setup doesn't do itself, and the user must.
        case left(String)
    }

    public var steps: [Step] = []
    /// The reasons why setup is impossible, with remedies. While there is one, no step may be done.
    public var obstacles: [String] = []
    /// What to do after the steps, in sentences; empty if there is nothing to tell.
    public var next: [String] = []

    public init() {}

    public var actions: [Action] {
        steps.compactMap { step in
            guard case .act(let action, _) = step else { return nil }
            return action
        }
    }

    /// The number of steps that the user must do.
    public var leftCount: Int { steps.count { if case .left = $0 { true } else { false } } }

    mutating func act(_ action: Action, _ record: SetupRecord.Entry...) { steps.append(.act(action, record: record)) }
    mutating func alreadySo(_ what: String) { steps.append(.alreadySo(what)) }
    mutating func note(_ text: String) { steps.append(.note(text)) }
    mutating func leave(_ text: String) { steps.append(.left(text)) }

    mutating func block(_ reason: String) { obstacles.append(reason) }
}

extension SetupPlan.Action: CustomStringConvertible {
    public var description: String {
        switch self {
        case .makeFolder(let path): "make folder \(path)"
        case .writeFile(let path, let text):
            "write \(path)\n" + text.split(separator: "\n").map { "    | \($0)" }.joined(separator: "\n")
        case .removeFile(let path): "remove \(path)"
        case .moveFile(let path, let new): "move \(path) to \(new)"
        case .removeFolder(let path): "remove folder \(path), if it is empty"
        case .run(let words): "run: " + words.map(Self.quoted).joined(separator: " ")
        case .compareRegistrations: "check that no registration is lost"
        }
    }

    private static func quoted(_ word: String) -> String {
        word.contains { $0 == " " || $0 == "\"" } ? "'\(word)'" : word
    }
}
