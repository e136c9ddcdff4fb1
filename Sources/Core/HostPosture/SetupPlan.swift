/// What `setup` will do, in its order; made without touching anything.
public struct SetupPlan: Hashable, Sendable {
    public enum Action: Hashable, Sendable {
        case makeFolder(String)
        case writeFile(String, text: String)
        case removeFile(String)
        /// Only if nothing is in it.
        case removeFolder(String)
        case run([String])
        /// Where rpcbind is asked again, and what was registered before must be there.
        case compareRegistrations
    }

    public enum Step: Hashable, Sendable {
        /// With what to remember for `--undo` before it is done.
        case act(Action, record: [SetupRecord.Entry])
        case alreadySo(String)
        case note(String)
    }

    public var steps: [Step] = []
    /// Why nothing can be done, and what to do then. While there is one, there are no actions.
    public var obstacles: [String] = []

    public init() {}

    public var actions: [Action] {
        steps.compactMap { step in
            guard case .act(let action, _) = step else { return nil }
            return action
        }
    }

    mutating func act(_ action: Action, _ record: SetupRecord.Entry...) { steps.append(.act(action, record: record)) }
    mutating func alreadySo(_ what: String) { steps.append(.alreadySo(what)) }
    mutating func note(_ text: String) { steps.append(.note(text)) }

    mutating func block(_ reason: String) { obstacles.append(reason) }
}

extension SetupPlan.Action: CustomStringConvertible {
    public var description: String {
        switch self {
        case .makeFolder(let path): "make folder \(path)"
        case .writeFile(let path, let text):
            "write \(path)\n" + text.split(separator: "\n").map { "    | \($0)" }.joined(separator: "\n")
        case .removeFile(let path): "remove \(path)"
        case .removeFolder(let path): "remove folder \(path), if it is empty"
        case .run(let words): "run: " + words.map(Self.quoted).joined(separator: " ")
        case .compareRegistrations: "look whether everything that was registered still is"
        }
    }

    private static func quoted(_ word: String) -> String {
        word.contains { $0 == " " || $0 == "\"" } ? "'\(word)'" : word
    }
}
