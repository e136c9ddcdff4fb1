import Addresses
import Policy

/// The most that the rules of a bundle may permit: rules of this host's administrator, in the same language.
///
/// A rule of a bundle must lie within them: each of its clients, programs, transports and servers, with its `open` and
/// its `list`, must be permitted by some rule of the ceiling.
public struct PolicyCeiling: Sendable {
    /// The part of a bundle's rule that no rule of the ceiling permits.
    public struct Excess: Hashable, Sendable {
        public var client: ClientTerm
        public var program: Program
        public var transport: Transport
        /// `nil`: this host.
        public var server: String?
        public var open: Opening
        public var lists: Bool
        /// The rule of the ceiling that permits most of it, and what that lacks; `nil`: the ceiling has no rules.
        public var nearest: Rule?
        public var lacks = ""
    }

    private let rules: [Rule]
    /// Where the programs that the rules name begin and end: between two such numbers all programs are treated alike.
    private let programBounds: [UInt32]
    /// The clients of some of the rules, by their indices.
    private var clients: [[Int]: Clients] = [:]

    private struct Clients {
        var ranges: [AddressRange]
        var hosts: Set<String>
        var isEverybody: Bool
    }

    /// - Parameter rules: one that excepts clients by host name covers nobody.
    public init(_ rules: [Rule]) {
        self.rules = rules.filter { rule in !rule.except.contains { $0.host != nil } }
        let single = rules.flatMap(\.to).flatMap { Self.bounds(of: $0...$0) }
        programBounds = Set(single + rules.flatMap(\.programRanges.all).flatMap(Self.bounds)).sorted()
    }

    private static func bounds(of range: ClosedRange<Program>) -> [UInt32] {
        let end = range.upperBound.rawValue
        return [range.lowerBound.rawValue] + (end == .max ? [] : [end + 1])
    }

    /// The first part of a bundle's rule that the ceiling doesn't permit; `nil`: the rule lies within it.
    public mutating func excess(of rule: Rule) -> Excess? {
        let excepted = rule.except.compactMap(\.prefix?.range)
        var examined: Set<[Int]> = []
        for scope in rule.at.parts {
            for transport in Transport.allCases where rule.over.contains(transport) {
                for program in programs(of: rule) {
                    let permitting = rules.indices.filter {
                        rules[$0].permits(program, transport, scope, rule.open, lists: rule.lists)
                    }
                    guard examined.insert(permitting).inserted else { continue }
                    guard let client = firstClient(of: rule, outside: permitting, excepted) else { continue }
                    var excess = Excess(
                        client: client, program: program, transport: transport, server: scope.name, open: rule.open,
                        lists: rule.lists)
                    (excess.nearest, excess.lacks) = nearest(to: excess, scope)
                    return excess
                }
            }
        }
        return nil
    }

    /// One program of each stretch that the ceiling treats alike.
    private func programs(of rule: Rule) -> [Program] {
        rule.to.sorted()
            + rule.programRanges.all.flatMap { range in
                [range.lowerBound]
                    + programBounds.filter { $0 > range.lowerBound.rawValue && $0 <= range.upperBound.rawValue }
                    .map { Program($0) }
            }
    }

    private mutating func firstClient(of rule: Rule, outside permitting: [Int], _ excepted: [AddressRange])
        -> ClientTerm?
    {
        let covered = clients(of: permitting)
        if covered.isEverybody { return nil }
        let ranges = excepted.isEmpty ? covered.ranges : (covered.ranges + excepted).union
        let addresses = AddressRanges(ranges)
        return rule.from.first { term in
            switch term {
            case .prefix(let prefix): addresses.uncovered(prefix.range, limit: 0) == nil
            case .host(let name): !covered.hosts.contains(name)
            }
        }
    }

    private mutating func clients(of permitting: [Int]) -> Clients {
        if let known = clients[permitting] { return known }
        let rules = permitting.map { self.rules[$0] }
        let ranges = Policy(rules: rules).named.union
        // A name may stand for an address that the rule excepts.
        let hosts = Set(rules.filter(\.except.isEmpty).flatMap(\.from).compactMap(\.host))
        let made = Clients(
            ranges: ranges, hosts: hosts,
            isEverybody: ranges.contains(.allIPv4) && ranges.contains(.allIPv6))
        clients[permitting] = made
        return made
    }

    /// The rule that lacks least, and of what it lacks the first that an administrator would look at.
    private func nearest(to excess: Excess, _ scope: ServerScope) -> (Rule?, String) {
        let lacking = rules.map { rule in
            var lacks: [String] = []
            if !rule.touches(excess.client) { lacks.append("doesn't name these clients") }
            if !rule.names(excess.program) { lacks.append("doesn't name this program") }
            if !rule.at.covers(allOf: scope) { lacks.append("isn't about this server") }
            if !rule.over.contains(excess.transport) { lacks.append("isn't over \(excess.transport)") }
            if rule.open < excess.open { lacks.append("has only open: \(rule.open.rawValue)") }
            if excess.lists, !rule.lists { lacks.append("has no list: true") }
            return (rule: rule, lacks: lacks)
        }
        guard let least = lacking.min(by: { $0.lacks.count < $1.lacks.count }) else { return (nil, "") }
        return (least.rule, least.lacks.first ?? "doesn't name all of these clients")
    }
}

// MARK: Without a ceiling

extension PolicyCeiling {
    /// Shorter prefixes take an administrator's word.
    public static let lengthMinIPv4 = 8
    public static let lengthMinIPv6 = 32

    /// The prefix of the rule that is too short where this host has no ceiling.
    public static func tooShortPrefix(in rule: Rule) -> Prefix? {
        rule.from.compactMap(\.prefix).first { $0.length < ($0.address.isIPv4 ? lengthMinIPv4 : lengthMinIPv6) }
    }
}

extension ServerScope {
    /// Its servers one by one.
    fileprivate var parts: [ServerScope] {
        switch self {
        case .thisHost, .anyServer: [self]
        case .servers(let names): names.sorted().map { .servers([$0]) }
        }
    }

    fileprivate var name: String? {
        switch self {
        case .thisHost: nil
        case .anyServer: "any-server"
        case .servers(let names): names.first
        }
    }
}

extension Rule {
    fileprivate func permits(
        _ program: Program, _ transport: Transport, _ scope: ServerScope, _ open: Opening, lists: Bool
    ) -> Bool {
        names(program) && over.contains(transport) && at.covers(allOf: scope) && self.open >= open
            && (self.lists || !lists)
    }

    fileprivate func touches(_ client: ClientTerm) -> Bool {
        switch client {
        case .host: from.contains(client)
        case .prefix(let prefix):
            from.contains {
                $0.prefix.map { $0.range.contains(prefix.range.first) || prefix.range.contains($0.range.first) }
                    ?? false
            }
        }
    }
}

extension ClientTerm {
    fileprivate var prefix: Prefix? {
        switch self {
        case .prefix(let prefix): prefix
        case .host: nil
        }
    }

    fileprivate var host: String? {
        switch self {
        case .prefix: nil
        case .host(let name): name
        }
    }
}
