import Addresses
import Firewall

/// The host's routing rules, and the routes in a gateway's tables, as `ip -d rule` and `ip -d route` list them.
public struct RoutingListing: Hashable, Sendable {
    struct Rule: Hashable {
        var family: RoutingFamily
        var preference: UInt32
        var mark: UInt32 = 0
        /// 0: the rule doesn't look at the mark.
        var mask: UInt32 = 0
        var table: UInt32?
        /// The rule does nothing but select the table by the mark.
        var isPlain = true
        var text: String
    }

    struct Route: Hashable {
        var family: RoutingFamily
        var table: UInt32
        /// `local`, `throw`, `unicast` and others of ip-route(8).
        var kind: String
        /// `nil`: the default route.
        var destination: Prefix?
    }

    private(set) var rules: [Rule] = []
    private(set) var routes: [Route] = []

    public init() {}

    /// - Parameter text: the output of `ip -N -d rule`.
    public mutating func add(rules text: String, _ family: RoutingFamily) {
        rules += text.split(separator: "\n").compactMap { Self.rule($0.trimmed, family) }
    }

    /// - Parameter text: the output of `ip -d route show table TABLE`.
    public mutating func add(routes text: String, _ family: RoutingFamily, table: UInt32) {
        routes += text.split(separator: "\n").compactMap { Self.route($0.trimmed, family, table) }
    }

    private static func rule(_ line: String, _ family: RoutingFamily) -> Rule? {
        var words = line.split { $0 == " " || $0 == "\t" }.map(String.init)[...]
        guard let first = words.popFirst(), first.hasSuffix(":"), let preference = UInt32(first.dropLast()) else {
            return nil
        }
        var rule = Rule(family: family, preference: preference, text: "\(family) rule \(line.words)")
        while let word = words.popFirst() {
            switch word {
            case "from": rule.isPlain = words.popFirst() == "all" && rule.isPlain
            case "lookup": rule.table = words.popFirst().flatMap { UInt32($0) }
            case "proto": words = words.dropFirst()
            case "fwmark":
                let parts = (words.popFirst() ?? "").split(separator: "/").map(number)
                rule.mark = parts.first.flatMap { $0 } ?? 0
                rule.mask = parts.count == 2 ? parts[1] ?? 0 : .max
            default: rule.isPlain = false
            }
        }
        return rule
    }

    private static func number(_ text: Substring) -> UInt32? {
        text.hasPrefix("0x") ? UInt32(text.dropFirst(2), radix: 16) : UInt32(text)
    }

    private static func route(_ line: String, _ family: RoutingFamily, _ table: UInt32) -> Route? {
        let words = line.split(separator: " ").map(String.init)
        guard words.count >= 2 else { return nil }
        if words[1] == "default" { return Route(family: family, table: table, kind: words[0], destination: nil) }
        let parts = words[1].split(separator: "/").map(String.init)
        guard let address = parts.first.flatMap({ IPAddress($0) }) else { return nil }
        let prefix = parts.count == 2 ? Int(parts[1]).flatMap { Prefix(address, length: $0) } : Prefix(address)
        return prefix.map { Route(family: family, table: table, kind: words[0], destination: $0) }
    }

    // MARK: Compared with a plan

    /// The parts of the plan whose work neither a rule nor a route does.
    func missing(from plan: RoutingPlan) -> [RoutingPart] {
        plan.entries.filter { wanted in !routes.contains { $0.does(wanted) } }.map { .entry($0) }
            + plan.rules.filter { wanted in !rules.contains { $0.does(wanted) } }.map { .rule($0) }
    }

    /// Rules that use the plan's tables, or that match intercepted packets, and aren't the plan's.
    ///
    /// - Parameter mark: the further bits that intercepted packets have.
    func foreignRules(_ plan: RoutingPlan, mark: UInt32) -> [String] {
        rules.filter { rule in
            let usesTable = rule.table.map(plan.tables.contains) ?? false
            let wanted = rule.mask & rule.mark
            let marks = plan.toServers.mark | plan.toClients.mark
            let usesMark = wanted & marks != 0 && wanted & ~(marks | mark) == 0
            let isOurs =
                rule.isPlain && rule.table.map { plan.owns(mark: rule.mark, mask: rule.mask, table: $0) } ?? false
            return (usesTable || usesMark) && !isOurs
        }.map(\.text)
    }

    /// The commands that remove the plan's rules, and all routes that rpcwarden made in its tables.
    func removal(of plan: RoutingPlan) -> [[String]] {
        func ip(_ family: RoutingFamily) -> [String] { family == .ipv4 ? ["ip"] : ["ip", "-6"] }
        let rules = rules.compactMap { rule -> [String]? in
            guard let table = rule.table, rule.isPlain, plan.owns(mark: rule.mark, mask: rule.mask, table: table) else {
                return nil
            }
            let bits = "0x" + String(rule.mark, radix: 16)
            return ip(rule.family)
                + ["rule", "del", "pref", "\(rule.preference)", "fwmark", "\(bits)/\(bits)", "lookup", "\(table)"]
        }
        let flushed = RoutingFamily.allCases.flatMap { family in
            plan.tables.filter { table in routes.contains { $0.family == family && $0.table == table } }.map { table in
                ip(family) + ["route", "flush", "table", "\(table)", "proto", "kernel"]
            }
        }
        return rules + flushed
    }

    /// Whether every address is local to packets with the mark of calls to servers.
    func hasLocalDefault(_ plan: RoutingPlan) -> Bool {
        routes.contains { $0.table == plan.toServers.table && $0.kind == "local" && ($0.destination?.length ?? 0) == 0 }
    }
}

extension RoutingListing.Rule {
    /// Rules behind this one come too late: the main table has a route to each server.
    private static let mainPreference: UInt32 = 32_766

    func does(_ wanted: RoutingRule) -> Bool {
        family == wanted.family && isPlain && mark == wanted.mark && mask == wanted.mask && table == wanted.table
            && preference < Self.mainPreference
    }
}

extension RoutingListing.Route {
    func does(_ wanted: RoutingEntry) -> Bool {
        guard family == wanted.family, table == wanted.table, kind == wanted.kind.rawValue else { return false }
        guard let address = wanted.destination else { return destination.map { $0.length == 0 } ?? true }
        // A throw of all would except every address.
        guard let destination else { return wanted.kind == .local }
        return destination.range.contains(address)
    }
}

extension StringProtocol {
    /// With single spaces.
    fileprivate var words: String { split { $0 == " " || $0 == "\t" }.joined(separator: " ") }
}
