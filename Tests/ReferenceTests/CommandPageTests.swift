import Testing

/// An option in SYNOPSIS, or in the program.
private struct Option: Hashable, Comparable, CustomStringConvertible {
    var name: String
    var value: String?
    var isOptional: Bool

    static func < (left: Self, right: Self) -> Bool { left.name < right.name }

    var description: String {
        let text = "--\(name)" + (value.map { " <\($0)>" } ?? "")
        return isOptional ? "[\(text)]" : text
    }
}

@Suite("rpcwarden(8)")
struct CommandPageTests {
    private let page: Manual
    private let commands: [BuiltProgram.Command]

    init() throws {
        page = try Manual("rpcwarden.8")
        commands = try BuiltProgram.commands()
    }

    private static func words(_ line: String) -> [String] { line.split(separator: " ").map(String.init) }

    /// Parses `.Op Fl Fl port Ar port`, `.Fl Fl client Ar addr` and `.Op Fl Fl json`.
    private static func option(_ line: String) -> Option? {
        var words = words(line)
        let isOptional = words.first == ".Op"
        if isOptional { words.removeFirst() } else if words.first?.first == "." { words[0].removeFirst() }
        guard words.count >= 3, words[0] == "Fl", words[1] == "Fl" else { return nil }
        let hasValue = words.count >= 5 && words[3] == "Ar"
        return Option(name: words[2], value: hasValue ? words[4] : nil, isOptional: isOptional)
    }

    private var synopses: [(command: String, lines: [String])] {
        get throws {
            let lines = try page.section("SYNOPSIS")
            return lines.split(separator: ".Nm").map(Array.init).compactMap { lines in
                lines.first.map { (String($0.dropFirst(".Cm ".count)), Array(lines.dropFirst())) }
            }
        }
    }

    /// The commands with an entry, and the options that each entry describes.
    private var entries: [String: [String]] {
        get throws {
            let parts = Manual.parts(of: try page.section("COMMANDS"), at: ".It Cm")
            return Dictionary(parts.map { ($0.title, $0.lines) }) { first, _ in first }
        }
    }

    @Test("names the commands that the program has, and no others")
    func commandNames() throws {
        let names = Set(commands.map(\.commandName))
        #expect(Set(try synopses.map(\.command)) == names)
        #expect(Set(try entries.keys) == names)
    }

    @Test("shows each command's options in the synopsis, with their values, and no others")
    func synopsisOptions() throws {
        for command in commands {
            let lines = try #require(try synopses.first { $0.command == command.commandName }, "\(command)").lines
            let shown = lines.compactMap(Self.option).sorted()
            let real = command.options.map { argument in
                Option(
                    name: argument.longName ?? "", value: argument.kind == "flag" ? nil : argument.valueName,
                    isOptional: argument.isOptional)
            }.sorted()
            #expect(shown == real, "\(command.commandName)")
            let hasPositional = lines.contains { $0.hasPrefix(".Op Ar") || $0.hasPrefix(".Ar") }
            #expect(hasPositional == command.hasPositional, "\(command.commandName)")
        }
    }

    @Test("describes each option of a command in the command's entry, and no others")
    func describedOptions() throws {
        for command in commands {
            let lines = try #require(try entries[command.commandName], "\(command.commandName)")
            let described = lines.filter { $0.hasPrefix(".It ") }.compactMap { Self.option(".\($0.dropFirst(4))") }
            let own = command.options.filter { $0.longName != "config" }
            #expect(described.map(\.name).sorted() == own.compactMap(\.longName).sorted(), "\(command.commandName)")
            for option in described {
                let real = own.first { $0.longName == option.name }
                #expect(option.value == (real?.kind == "flag" ? nil : real?.valueName), "\(option)")
            }
        }
        #expect(
            commands.filter { $0.commandName != "help" }.allSatisfy { $0.options.contains { $0.longName == "config" } })
    }

    @Test("describes --config, --help and --version, which every command takes")
    func commonOptions() throws {
        let items = try page.section("OPTIONS").filter { $0.hasPrefix(".It ") }
        #expect(
            items == [
                ".It Fl Fl config Ar file", ".It Fl h , Fl Fl help", ".It Fl Fl version",
                ".It Fl Fl generate-completion-script Ar shell",
            ])
    }

    @Test("an option of an example is one of its command")
    func examples() throws {
        let own = Manual.displays(in: try page.section("EXAMPLES")).flatMap { display in
            // Where output is shown, a prompt stands before the commands.
            let lines = display.split(separator: "\n")
            let typed = lines.filter { $0.hasPrefix("# ") }.map { $0.dropFirst(2) }
            return (typed.isEmpty ? lines : typed).filter { $0.hasPrefix("rpcwarden ") }.map { Self.words(String($0)) }
        }
        #expect(own.count >= 10)
        for words in own {
            let command = try #require(
                commands.first { words.dropFirst().starts(with: Self.words($0.commandName)) }, "\(words)")
            for word in words where word.hasPrefix("--") {
                #expect(command.options.contains { "--\($0.longName ?? "")" == word }, "\(words)")
            }
        }
    }

    @Test("every command of both programs has an example with its output, which LabTests.ExampleTests compare")
    func everyCommandIsShown() throws {
        let pages = try ["rpcwarden.8", "rpcwarden-fleet.8"].map { page in
            try Manual(page).section("EXAMPLES").joined(separator: "\n")
        }
        let displays = pages.flatMap { $0.matches(of: /\n\.\\" on [^\n]+\n\.Bd [^\n]*\n((?s).*?)\n\.Ed/) }
        let typed = displays.flatMap { $0.1.split(separator: "\n") }.filter { $0.hasPrefix("# ") }
            .map { Self.words(String($0.dropFirst(2))) }
        let fleet = try BuiltProgram.commands(of: BuiltProgram.fleetPath)
        for (program, commands) in [("rpcwarden", commands), ("rpcwarden-fleet", fleet)] {
            for command in commands {
                let words = [program] + Self.words(command.commandName)
                #expect(typed.contains { $0.starts(with: words) }, "\(words.joined(separator: " "))")
            }
        }
    }

    @Test("explains every exit status")
    func exitStatus() throws {
        let items = Manual.parts(of: try page.section("EXIT STATUS"), at: ".It").map(\.title)
        #expect(items == ["0", "1", "2", "3"])
    }
}
