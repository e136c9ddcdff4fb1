import Addresses

/// The names of RPC programs: `/etc/rpc`, with its aliases.
public struct ProgramNames: Sendable {
    private var numbers: [String: Program] = [:]
    private var firstNames: [Program: String] = [:]

    public init() {}

    /// Parses rpc(5): `name number alias…`, `#` starts a comment; any other line is skipped.
    public init(etcRPC text: some StringProtocol) {
        for line in text.split(whereSeparator: \.isNewline) {
            let words = line.prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace)
            guard words.count >= 2, let number = UInt32(words[1]) else { continue }
            let program = Program(number)
            for name in [words[0]] + words[2...] where numbers[String(name)] == nil {
                numbers[String(name)] = program
            }
            if firstNames[program] == nil { firstNames[program] = String(words[0]) }
        }
    }

    public func program(named name: String) -> Program? { numbers[name] }

    /// The first name in `/etc/rpc`, or `nil` if the number has none.
    public func name(of program: Program) -> String? { firstNames[program] }

    /// Every name and alias, for suggestions.
    public var allNames: some Collection<String> { numbers.keys }
}
