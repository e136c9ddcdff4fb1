import Addresses
import Firewall

/// Findings about rules beside a gateway's table: they drop, offload or don't track the packets that it forwards.
extension Examination {
    func rulesBeside(_ expected: GatewayExpectations) -> [Finding] {
        guard let ruleset = facts.ruleset else { return [] }
        return dropsInForward(ruleset) + flowtables(ruleset, expected) + untracked(ruleset, expected)
    }

    private func dropsInForward(_ ruleset: String) -> [Finding] {
        let mark = facts.expected.mark
        return dropping(ruleset, at: .forward).map { chain in
            Finding(
                "other-table-drops-forwarded", .medium,
                what: """
                    table \(chain.family) \(chain.table), chain \(chain.name) (priority \(chain.priority)) may drop \
                    packets that rpcwarden forwards to servers
                    """,
                why: """
                    An accept verdict ends only its own base chain. This later chain drops the forwarded packets that none \
                    of its rules accepts, and no rule accepts rpcwarden's mark. docs/COOKBOOK.md has a recipe.
                    """,
                mend: mark == 0
                    ? ["# set firewall.mark in /etc/rpcwarden/rpcwarden.yaml first"]
                    : Self.mend(forwarding: chain, mark))
        }
    }

    /// Replies of servers have no mark: they belong to established flows.
    private static func mend(forwarding chain: DroppingChain, _ mark: UInt32) -> [String] {
        let bits = "0x" + String(mark, radix: 16)
        if chain.table == "firewalld" {
            return [
                "# firewalld has no rule that matches a mark. Let a policy from the clients' zone to the servers' accept the",
                "# servers' ports; rpcwarden's own chain still drops what has no grant (docs/COOKBOOK.md)",
            ]
        }
        if chain.table == "filter", chain.name == "FORWARD", chain.family != "inet" {
            let command = chain.family == "ip6" ? "ip6tables" : "iptables"
            let replies = "\(command) -I FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
            return ["\(command) -I FORWARD -m mark --mark \(bits)/\(bits) -j ACCEPT"]
                + (chain.acceptsEstablished ? [] : [replies]) + ["# and save them; with ufw see docs/COEXISTENCE.md"]
        }
        let place = "\(chain.family) \(chain.table) \(chain.name)"
        return ["nft insert rule \(place) meta mark and \(bits) != 0 accept"]
            + (chain.acceptsEstablished ? [] : ["nft insert rule \(place) ct state established,related accept"])
            + ["# and write it into the file that loads this table"]
    }

    private func flowtables(_ ruleset: String, _ expected: GatewayExpectations) -> [Finding] {
        let rules = Self.rules(in: ruleset) { $0.contains("flow add @") || $0.contains("flow offload @") }
        guard let (table, rule) = rules.first(where: { Self.mayConcern($0.rule, expected.addresses) }) else {
            return []
        }
        let servers = expected.addresses.filter(\.isIPv4).map(\.description).joined(separator: ", ")
        let example = servers.isEmpty ? "" : "ip daddr != { \(servers) } ip saddr != { \(servers) } "
        return [
            Finding(
                "flowtable", .medium, what: "table \(table) puts flows into a flowtable: \(rule)",
                why: """
                    Packets of such a flow bypass the forward hook. They don't renew their grant, and a revoked grant \
                    doesn't stop them.
                    """,
                mend: ["# except the servers from that rule, for example: \(example)flow add @…"])
        ]
    }

    private func untracked(_ ruleset: String, _ expected: GatewayExpectations) -> [Finding] {
        let rules = Self.rules(in: ruleset) { $0.split(separator: " ").contains("notrack") }
        let found = rules.filter { table, rule in
            table != "inet \(facts.expected.table)" && !rule.contains("\"lo\"")
                && Self.mayConcern(rule, expected.addresses)
        }
        guard let (table, rule) = found.first else { return [] }
        return [
            Finding(
                "server-untracked", .medium, what: "table \(table) exempts packets from connection tracking: \(rule)",
                why: """
                    rpcwarden tells a server's own flows from its clients' by connection marks, and ends the flows of a \
                    revoked grant by conntrack. Both fail for packets without a connection.
                    """,
                mend: ["# except the servers' addresses from that rule, or remove it"])
        ]
    }

    /// The matching lines, each with its table.
    private static func rules(in ruleset: String, where isWanted: (String) -> Bool) -> [(table: String, rule: String)] {
        var table = ""
        return ruleset.split(separator: "\n").map(\.trimmed).compactMap { line in
            let words = line.split(separator: " ").map(String.init)
            if words.first == "table", words.count >= 3 { table = "\(words[1]) \(words[2])" }
            return isWanted(line) ? (table, line) : nil
        }
    }

    /// A rule that names addresses concerns the servers among them; one that names none concerns every server.
    private static func mayConcern(_ rule: String, _ servers: [IPAddress]) -> Bool {
        // `ip daddr != { … }` excepts what it names.
        let words = rule.split { " ,{}".contains($0) }.map(String.init)
        let isExcepted = { (index: Int) in words[..<index].last { $0 == "!=" || $0 == "daddr" || $0 == "saddr" } == "!="
        }
        let prefixes = words.enumerated().compactMap { index, word in prefix(word).map { ($0, isExcepted(index)) } }
        let named = prefixes.filter { !$0.1 }.map(\.0)
        let excepted = prefixes.filter(\.1).map(\.0)
        return servers.contains { server in
            (named.isEmpty || named.contains { $0.range.contains(server) })
                && !excepted.contains { $0.range.contains(server) }
        }
    }

    private static func prefix(_ word: String) -> Prefix? {
        let parts = word.split(separator: "/").map(String.init)
        guard let address = parts.first.flatMap({ IPAddress($0) }) else { return nil }
        return parts.count == 2 ? Int(parts[1]).flatMap { Prefix(address, length: $0) } : Prefix(address)
    }
}
