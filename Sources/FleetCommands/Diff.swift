import ArgumentParser
import Bundles
import Console
import Policy
import PolicyFile

struct Diff: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Tell how the policies of two groups differ, by files and rules.",
        discussion: "Exits 0 if they don't differ, else 1.")

    @OptionGroup var configuration: ConfigurationOption

    @Argument(help: ArgumentHelp("A group.", valueName: "group"))
    var first: String

    @Argument(help: ArgumentHelp("Another one.", valueName: "group"))
    var second: String

    func run() throws {
        let (one, other) = try StoreConnection.with(configuration) { store in
            (
                try PublishedPolicy(store: store, group: first).bundle(),
                try PublishedPolicy(store: store, group: second).bundle()
            )
        }
        let lines = PolicyDifference(one, other, names: PolicyLoader().programNames).lines
        for line in lines { print(line) }
        guard lines.isEmpty else { throw CommandFailure(message: nil, code: ExitStatus.denied) }
        print("the policies of \(first) and \(second) are the same")
    }
}

/// How two bundles differ, in words.
struct PolicyDifference {
    private(set) var lines: [String] = []

    init(_ one: PolicyBundle, _ other: PolicyBundle, names: ProgramNames) {
        let (files, others) = (Self.files(of: one), Self.files(of: other))
        for name in Set(files.keys).union(others.keys).sorted() where files[name] != others[name] {
            switch (files[name], others[name]) {
            case (nil, _): lines.append("file \(name): only in \(other.group)")
            case (_, nil): lines.append("file \(name): only in \(one.group)")
            case (_?, _?): lines.append("file \(name): differs")
            }
        }
        // Of equal files there is nothing to tell about rules.
        guard !lines.isEmpty else { return }
        let (rules, theirs) = (Self.rules(of: one, names), Self.rules(of: other, names))
        for name in Set(rules.keys).union(theirs.keys).sorted() where rules[name] != theirs[name] {
            switch (rules[name], theirs[name]) {
            case (nil, _): lines.append("rule \"\(name)\": only in \(other.group)")
            case (_, nil): lines.append("rule \"\(name)\": only in \(one.group)")
            case (_?, _?): lines.append("rule \"\(name)\": differs")
            }
        }
    }

    private static func files(of bundle: PolicyBundle) -> [String: [UInt8]] {
        Dictionary(bundle.files.map { ($0.name, $0.bytes) }) { first, _ in first }
    }

    /// By name; a rule's place in its file says nothing.
    private static func rules(of bundle: PolicyBundle, _ names: ProgramNames) -> [String: Rule] {
        let sources = bundle.files.map { SourceFile(name: $0.name, bytes: $0.bytes) }
        let rules = ParsedPolicy(sources, names: names).rules.map { rule in
            var rule = rule
            rule.location = Location(file: "", line: 1, column: 1)
            return (rule.name, rule)
        }
        return Dictionary(rules) { first, _ in first }
    }
}
