import Addresses
import Policy

/// A policy that a person has yet to review: rules and the reasons for them, as YAML.
public struct DraftPolicy: Hashable, Sendable {
    public struct Member: Hashable, Sendable {
        public var term: ClientTerm
        public var comment: String?

        public init(_ term: ClientTerm, comment: String? = nil) {
            self.term = term
            self.comment = comment
        }
    }

    public struct Rule: Hashable, Sendable {
        public var name: String
        /// Lines above the rule.
        public var comments: [String] = []
        /// Groups first, then addresses.
        public var from: [String] = []
        public var to: [Program]
        /// Servers behind the gateway, or `any-server`; empty: this host.
        public var at: [String] = []
        public var over: Set<Transport> = [.tcp, .udp]
        public var lists = false
        /// Lines within the rule, commented out, that a person may want.
        public var hints: [String] = []
        public var open: Opening = .onLookup
    }

    /// The schema of a policy, for editors with yaml-language-server.
    static let schemaLine = "# yaml-language-server: $schema=/usr/share/rpcwarden/schema/rpcwarden-policy.schema.json"

    /// Lines at the top.
    public var comments: [String] = []
    public var groups: [(name: String, members: [Member])] { groupNames.map { ($0, members[$0] ?? []) } }
    public var rules: [Rule] = []
    private var groupNames: [String] = []
    private var members: [String: [Member]] = [:]

    public init() {}

    mutating func addGroup(_ name: String, _ added: [Member]) {
        if members[name] == nil { groupNames.append(name) }
        members[name, default: []] += added
    }

    /// The YAML text; programs by their names if `names` knows them.
    public func text(names: ProgramNames) -> String {
        var lines = [Self.schemaLine] + comments.map(Self.comment)
        if !groupNames.isEmpty { lines += ["", "clients:"] }
        for (name, members) in groups {
            lines.append("  \(name):")
            for member in members {
                lines.append("    - \(Self.written(member.term))" + (member.comment.map { "    # \($0)" } ?? ""))
            }
        }
        lines += ["", rules.isEmpty ? "rules: []" : "rules:"]
        for (index, rule) in rules.enumerated() {
            if index > 0 { lines.append("") }
            lines += Self.lines(of: rule, names)
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func lines(of rule: Rule, _ names: ProgramNames) -> [String] {
        var lines = rule.comments.map { "  " + comment($0) }
        lines.append("  - name: \"\(rule.name)\"")
        lines += list("from", rule.from)
        lines += list("to", rule.to.map { written($0, names) })
        if !rule.at.isEmpty { lines += list("at", rule.at.map(written(server:))) }
        if rule.over.count < Transport.allCases.count {
            lines += list("over", rule.over.map(\.description).sorted())
        }
        if rule.lists { lines.append("    list: true") }
        lines += rule.hints.map { "    " + comment($0) }
        lines.append("    open: \(rule.open.rawValue)")
        return lines
    }

    private static func comment(_ text: String) -> String { text.isEmpty ? "#" : "# \(text)" }

    /// `key: [a, b]`, broken before a line gets too long to read.
    private static func list(_ key: String, _ words: [String]) -> [String] {
        let columnsMax = 100
        let indent = String(repeating: " ", count: key.count + 7)
        var lines = ["    \(key): ["]
        for (index, word) in words.enumerated() {
            let word = word + (index == words.count - 1 ? "]" : ",")
            if index > 0, lines[lines.count - 1].count + word.count >= columnsMax { lines.append(indent) }
            let isFirst = index == 0 || lines[lines.count - 1] == indent
            lines[lines.count - 1] += (isFirst ? "" : " ") + word
        }
        return lines
    }

    /// The name only if it means this program; YAML and the policy both read it as written.
    static func written(_ program: Program, _ names: ProgramNames) -> String {
        guard let name = names.name(of: program), names.program(named: name) == program, let first = name.utf8.first,
            (0x61...0x7a).contains(first | 0x20),
            name.utf8.allSatisfy({ byte in
                (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte | 0x20) || byte == UInt8(ascii: "_")
                    || byte == UInt8(ascii: "-")
            })
        else { return String(program.rawValue) }
        return name
    }

    /// A plain `null` would be no name.
    static func written(server: String) -> String { server.lowercased() == "null" ? "\"\(server)\"" : server }

    /// A single address without its length; IPv6 in quotes.
    static func written(_ term: ClientTerm) -> String {
        switch term {
        case .host(let name): "\"\(name)\""
        case .prefix(let prefix):
            Self.written(prefix)
        }
    }

    static func written(_ prefix: Prefix) -> String {
        let isSingle = prefix.length == (prefix.address.isIPv4 ? 32 : 128)
        let text = isSingle ? "\(prefix.address)" : "\(prefix)"
        return prefix.address.isIPv4 ? text : "\"\(text)\""
    }
}
