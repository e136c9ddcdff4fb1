import ArgumentParser

/// A command that only has subcommands, one of which must be named.
public protocol SubcommandGroup: ParsableCommand {
    /// The program, whose name begins the usage.
    static var root: any ParsableCommand.Type { get }
}

extension SubcommandGroup {
    public func run() throws {
        throw CommandFailure.usage("no command; name one\n\n\(Self.root.helpMessage(for: Self.self))")
    }

    /// The parser itself blames the options of a command that it doesn't know.
    public static func unknownCommand(in words: ArraySlice<String>) -> CommandFailure? {
        guard let word = words.first, !word.hasPrefix("-"), word != "help" else { return nil }
        if let command = configuration.subcommands.first(where: { $0._commandName == word }) {
            return (command as? any SubcommandGroup.Type)?.unknownCommand(in: words.dropFirst())
        }
        let names = configuration.subcommands.map { $0._commandName }.joined(separator: ", ")
        return .usage("unknown command: \"\(word)\"; known commands: \(names)")
    }
}
