/// Mark bits that both rpcwarden and another table use.
extension Examination {
    var marks: [Finding] {
        guard let ruleset = facts.ruleset else { return [] }
        var found: [Finding] = []
        for (table, rules) in Self.rules(in: ruleset) where table != "inet \(facts.expected.table)" {
            let clashes = rules.compactMap { rule in clash(rule).map { (rule: rule, what: $0) } }
            guard let first = clashes.first(where: \.what.isSetting) ?? clashes.first else { continue }
            found.append(finding(table, first.rule, first.what, in: ruleset))
        }
        return found
    }

    /// The rules of each table, identified by family and name, in the order of the listing.
    private static func rules(in ruleset: String) -> [(table: String, rules: [String])] {
        var tables: [(table: String, rules: [String])] = []
        for line in ruleset.split(separator: "\n").map(\.trimmed) {
            let words = line.split(separator: " ").map(String.init)
            if words.first == "table", words.count >= 3 {
                tables.append((words[1] + " " + words[2], []))
            } else if !tables.isEmpty, words.contains("mark") {
                tables[tables.count - 1].rules.append(line)
            }
        }
        return tables
    }

    /// How the rule uses rpcwarden's mark bits; `nil` for a rule that accepts packets with rpcwarden's mark.
    private func clash(_ rule: String) -> MarkUse? {
        let uses = MarkUse.uses(in: rule).compactMap { use in
            var shared = use
            shared.bits &= ours(use)
            let isRecipe = !use.isSetting && !use.isOfConnection && use.bits & ~ours(use) == 0
            return shared.bits == 0 || isRecipe ? nil : shared
        }
        return uses.first(where: \.isSetting) ?? uses.first
    }

    private func ours(_ use: MarkUse) -> UInt32 {
        use.isOfConnection ? facts.expected.flowMarks.reduce(0, |) : facts.expected.mark | gatewayMarks
    }

    private var gatewayMarks: UInt32 { facts.expected.gateway?.marks ?? 0 }

    private func finding(_ table: String, _ rule: String, _ use: MarkUse, in ruleset: String) -> Finding {
        let bits = Self.hexadecimal(use.bits)
        if !use.isOfConnection, use.bits & gatewayMarks != 0 { return gatewayFinding(table, rule, use) }
        let mark = use.isOfConnection ? "connection mark" : "packet mark"
        let setting =
            !use.isOfConnection ? "mark" : facts.expected.flowMarks.first == use.bits ? "ct-mark" : "own-ct-mark"
        let why =
            use.isOfConnection
            ? "rpcwarden recognizes admitted flows, and flows that this host began, by this bit; it may accept a flow whose bit another table set."
            : use.isSetting
                ? "A table that accepts rpcwarden's mark also accepts the packets that this rule marks."
                : "Packets that rpcwarden accepts have this bit, so the rule matches them too."
        return Finding(
            "mark-bit-shared", use.isSetting ? .medium : .low,
            what:
                "table \(table) \(use.isSetting ? "sets" : "matches") \(bits) of the \(mark), which rpcwarden uses too: \(rule)",
            why: why,
            mend: [
                "# in /etc/rpcwarden/rpcwarden.yaml: firewall: {\(setting): \(Self.hexadecimal(free(use, in: ruleset)))}",
                use.isOfConnection
                    ? "# and change your own rules that match the old bit (manage: sets)"
                    : "# and change your own rules that accept the old bit (docs/COEXISTENCE.md)",
                "rpcwarden reload",
            ])
    }

    private func gatewayFinding(_ table: String, _ rule: String, _ use: MarkUse) -> Finding {
        let verb = use.isSetting ? "sets" : "matches"
        return Finding(
            "mark-bit-shared", use.isSetting ? .medium : .low,
            what: """
                table \(table) \(verb) \(Self.hexadecimal(use.bits)) of the packet mark, by which the gateway's routing \
                rules recognize intercepted calls: \(rule)
                """,
            why: use.isSetting
                ? "Packets that this rule marks before routing are routed as if they were intercepted calls."
                : "Intercepted calls have this bit, so the rule matches them too.",
            mend: [
                "# in /etc/rpcwarden/rpcwarden.yaml: gateway: {marks: […, …]}, two bits that no other program uses",
                "systemctl restart rpcwarden.service",
            ])
    }

    /// A bit that no rule of the host uses; bits that few programs use come first.
    private func free(_ use: MarkUse, in ruleset: String) -> UInt32 {
        let used = Self.rules(in: ruleset).flatMap(\.rules).flatMap(MarkUse.uses)
            .filter { $0.isOfConnection == use.isOfConnection }
            .reduce(facts.expected.mark | gatewayMarks | facts.expected.flowMarks.reduce(0, |)) { $0 | $1.bits }
        let order = (use.isOfConnection ? Array(24...30) + [13, 12, 10] : [13, 12, 10, 11, 9, 8]) + Array(0...31)
        return order.map { UInt32(1) << UInt32($0) }.first { used & $0 == 0 } ?? 0
    }

    private static func hexadecimal(_ bits: UInt32) -> String { "0x" + String(bits, radix: 16) }
}
