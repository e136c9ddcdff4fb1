/// A base chain that drops packets that none of its rules accepts, read from `nft list ruleset`.
struct DroppingChain: Hashable {
    /// What is for this host, and what it forwards to servers behind it.
    enum Hook: String {
        case input, forward
    }

    var hook: Hook
    var family: String
    var table: String
    var name: String
    var priority: Int
    /// Whether the chain has an accept rule that matches rpcwarden's mark bit.
    var acceptsMark: Bool
    /// Whether the chain has an accept rule for established flows.
    var acceptsEstablished: Bool

    /// The dropping chains with a later priority than rpcwarden's chain: a drop there overrides rpcwarden's
    /// accept.
    ///
    /// - Parameter mark: rpcwarden's mark bit; 0 matches any rule on a mark.
    static func dropping(
        _ ruleset: String, at hook: Hook = .input, except ownTable: String, behind priority: Int, mark: UInt32 = 0
    ) -> [Self] {
        var found: [Self] = []
        for table in tables(ruleset) where !(table.family == "inet" && table.name == ownTable) {
            for (name, lines) in table.chains {
                guard
                    let base = lines.first(where: {
                        $0.contains("hook \(hook.rawValue) ") && $0.contains("type filter")
                    }),
                    let own = Self.priority(base), own > priority,
                    base.contains("policy drop") || lines.contains(where: dropsAll)
                        || reached(from: name, in: table).contains(where: dropsAll)
                else { continue }
                let rules = lines + reached(from: name, in: table)
                found.append(
                    Self(
                        hook: hook, family: table.family, table: table.name, name: name, priority: own,
                        acceptsMark: rules.contains { accepts(mark, $0) },
                        acceptsEstablished: rules.contains { acceptsEstablished($0) }))
            }
        }
        return found
    }

    private struct RulesetTable {
        var family: String
        var name: String
        var chains: [(name: String, lines: [String])] = []
    }

    private static func tables(_ ruleset: String) -> [RulesetTable] {
        var tables: [RulesetTable] = []
        var isInChain = false
        for line in ruleset.split(separator: "\n").map(\.trimmed) where !line.isEmpty {
            let words = line.split(separator: " ").map(String.init)
            if words.first == "table", words.count >= 3 {
                tables.append(RulesetTable(family: words[1], name: words[2]))
            } else if words.first == "chain", words.count >= 2, !tables.isEmpty {
                tables[tables.count - 1].chains.append((words[1], []))
                isInChain = true
            } else if line == "}" {
                isInChain = false
            } else if isInChain, let last = tables.last?.chains.indices.last {
                tables[tables.count - 1].chains[last].lines.append(line)
            }
        }
        return tables
    }

    /// The rules of the chains that this chain jumps to, directly or through other chains.
    private static func reached(from name: String, in table: RulesetTable) -> [String] {
        var seen: Set<String> = [name]
        var waiting = [name]
        var rules: [String] = []
        while let next = waiting.popLast() {
            guard let chain = table.chains.first(where: { $0.name == next }) else { continue }
            if next != name { rules += chain.lines }
            for rule in chain.lines {
                let words = rule.split(separator: " ").map(String.init)
                for (verb, target) in zip(words, words.dropFirst()) where verb == "jump" || verb == "goto" {
                    if seen.insert(target).inserted { waiting.append(target) }
                }
            }
        }
        return rules
    }

    /// The rule drops or rejects every packet.
    private static func dropsAll(_ rule: String) -> Bool {
        guard !rule.contains("hook ") else { return false }
        var words = rule.split(separator: " ").map(String.init)[...]
        while let word = words.first {
            if word == "drop" || word == "reject" { return true }
            guard word == "counter" || word == "packets" || word == "bytes" || UInt64(word) != nil else { return false }
            words = words.dropFirst()
        }
        return false
    }

    private static func accepts(_ mark: UInt32, _ rule: String) -> Bool {
        rule.contains("accept")
            && MarkUse.uses(in: rule).contains { use in
                !use.isOfConnection && !use.isSetting && (mark == 0 || use.bits & mark != 0)
            }
    }

    private static func acceptsEstablished(_ rule: String) -> Bool {
        // `ct state vmap { established : accept, … }`, and `ct state established,related accept`.
        rule.contains("established") && rule.contains("accept")
    }

    /// Parses `priority filter + 10;` and `priority 0;`.
    private static func priority(_ line: String) -> Int? {
        guard let range = line.firstRange(of: "priority ") else { return nil }
        let words = line[range.upperBound...].prefix { $0 != ";" }.split(separator: " ").map(String.init)
        guard let first = words.first else { return nil }
        let names = ["raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100]
        guard let base = names[first] ?? Int(first) else { return nil }
        guard words.count == 3, let shift = Int(words[2]) else { return base }
        return words[1] == "-" ? base - shift : base + shift
    }
}
