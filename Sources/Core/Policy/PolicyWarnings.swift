import Addresses

/// A statement of a policy that is probably a mistake.
public struct PolicyWarning: Hashable, Sendable {
    public var location: Location
    public var message: String

    public init(location: Location, message: String) {
        self.location = location
        self.message = message
    }

    /// The warnings about each rule by itself and beside the others, in the rules' order.
    public static func warnings(of rules: [Rule]) -> [PolicyWarning] {
        let others = Others(rules)
        let worldOpenings = WorldOpenings(rules)
        return zip(rules.indices, rules).flatMap { index, rule in
            [
                worldOpenings.text(ofRule: index), nfsOnLookup(rule, beside: others),
                nfsWithoutLocks(rule, beside: others),
            ].compactMap { $0 }.map { PolicyWarning(location: rule.location, message: $0) }
        }
    }

    /// NFSv3 clients never ask the portmapper again after the mount: once the grant is gone, the mount hangs.
    private static func nfsOnLookup(_ rule: Rule, beside others: Others) -> String? {
        guard rule.names(.nfs), rule.open == .onLookup else { return nil }
        guard !rule.over.allSatisfy({ others.standingNFS.reach(clientsOf: rule, over: [$0]) }) else { return nil }
        return "nfs without \"open: always\": clients look it up once, at the mount, and hang when the grant has"
            + " expired; give nfs a rule of its own with \"open: always\""
    }

    /// Without nlockmgr and status the first lock of an NFSv3 client fails or hangs. NFSv4 locks through nfs itself.
    private static func nfsWithoutLocks(_ rule: Rule, beside others: Others) -> String? {
        // With "open: never" no client mounts through this rule, so none locks.
        guard rule.names(.nfs), rule.open != .never, !isNFSv4Only(rule, beside: others) else { return nil }
        let missing = [("nlockmgr", others.nlockmgr), ("status", others.status)].filter { _, permitting in
            !permitting.reach(clientsOf: rule, over: rule.over)
        }
        guard !missing.isEmpty else { return nil }
        return "nfs without \(missing.map(\.0).joined(separator: " and ")): the clients' locks would hang; permit both,"
            + " or for NFSv4 alone write \"over: [tcp]\", \"open: always\" and no mountd"
    }

    /// NFSv4 uses only TCP, calls no portmapper and needs no mountd.
    private static func isNFSv4Only(_ rule: Rule, beside others: Others) -> Bool {
        rule.over == [.tcp] && rule.open == .always && !others.mountd.touch(clientsOf: rule)
    }
}

/// The rules that the warnings take into account beside a rule.
private struct Others {
    let standingNFS: RuleIndex
    let nlockmgr: RuleIndex
    let status: RuleIndex
    let mountd: RuleIndex

    init(_ rules: [Rule]) {
        let lengths = Set(rules.lazy.flatMap(\.from).compactMap(\.prefix?.length)).sorted()
        let index = { (program: Program, isFit: (Rule) -> Bool) in
            RuleIndex(rules.filter { $0.names(program) && isFit($0) }, lengths: lengths)
        }
        standingNFS = index(.nfs) { $0.open == .always }
        nlockmgr = index(.nlockmgr) { $0.open != .never }
        status = index(.status) { $0.open != .never }
        mountd = index(.mountd) { _ in true }
    }
}

/// Rules by the terms of their `from`: a policy may have ten thousand, and each is looked for among all others.
///
/// The index is built when it is first needed: mostly another rule has the same group of clients.
private final class RuleIndex {
    private let rules: [Rule]
    private lazy var rulesByTerm: [ClientTerm: [Int]] = {
        var rulesByTerm: [ClientTerm: [Int]] = [:]
        for (index, rule) in rules.enumerated() {
            for term in rule.from { rulesByTerm[term, default: []].append(index) }
        }
        return rulesByTerm
    }()
    /// These terms, and the prefixes around them that a rule may have.
    private lazy var termsAround: Set<ClientTerm> = {
        var terms: Set<ClientTerm> = []
        for term in rulesByTerm.keys {
            _ = isAny(around: term) { outer in
                terms.insert(outer)
                return false
            }
        }
        return terms
    }()
    /// The prefix lengths that occur in any rule of the policy, in order.
    private let lengths: [Int]

    /// The clients of all rules of a scope.
    private var unitedByScope: [Scope: [AddressRange]] = [:]

    private struct Scope: Hashable {
        var transports: Set<Transport>
        var at: ServerScope
    }

    /// The number of rules that are compared one by one with a rule's clients.
    private static let comparedMax = 16
    /// For each scope all rules are read.
    private static let scopesMax = 64

    init(_ rules: [Rule], lengths: [Int]) {
        self.rules = rules
        self.lengths = lengths
    }

    /// Whether these rules, over one of the transports, name all clients of the rule: each term of its `from` lies within
    /// a term of a rule that doesn't except it again, or its addresses within those of several.
    func reach(clientsOf rule: Rule, over transports: Set<Transport>) -> Bool {
        let isFit = { (other: Rule) in
            other.at.covers(allOf: rule.at) && !other.over.isDisjoint(with: transports)
        }
        let own = Set(rule.except)
        // Arrays of one group share their memory, and compare in constant time.
        if rules.prefix(Self.comparedMax).contains(where: {
            isFit($0) && $0.from == rule.from && own.isSuperset(of: $0.except)
        }) {
            return true
        }
        let rest =
            rules.isEmpty
            ? rule.from
            : rule.from.filter { term in
                !isAny(around: term) { outer in
                    (rulesByTerm[outer] ?? []).contains { number in
                        let other = rules[number]
                        return isFit(other) && !other.except.contains { $0.overlaps(term) && !own.contains($0) }
                    }
                }
            }
        return rest.isEmpty || cover(rest, of: rule, Scope(transports: transports, at: rule.at), isFit)
    }

    /// Whether several of the rules together name the terms' addresses.
    private func cover(_ terms: [ClientTerm], of rule: Rule, _ scope: Scope, _ isFit: (Rule) -> Bool) -> Bool {
        let ranges = terms.compactMap(\.prefix?.range)
        guard ranges.count == terms.count, let united = united(scope, isFit) else { return false }
        let sets = [united, rule.except.compactMap(\.prefix?.range).union]
        // Where it is not so, the first one mostly shows it.
        guard ranges.first?.isCovered(by: sets) == true else { return false }
        return ranges.union.allSatisfy { $0.isCovered(by: sets) }
    }

    /// `nil`: the policy has too many kinds of rules.
    private func united(_ scope: Scope, _ isFit: (Rule) -> Bool) -> [AddressRange]? {
        if let known = unitedByScope[scope] { return known }
        guard unitedByScope.count < Self.scopesMax else { return nil }
        let united = rules.filter(isFit).flatMap(\.sureClients).union
        unitedByScope[scope] = united
        return united
    }

    /// Whether a term of the rule's `from` has addresses in common with a term of one of these rules.
    func touch(clientsOf rule: Rule) -> Bool {
        rule.from.contains { term in
            termsAround.contains(term) || isAny(around: term) { rulesByTerm[$0] != nil }
        }
    }

    /// Whether it holds for the term itself, or for a prefix around it that a rule may have.
    private func isAny(around term: ClientTerm, _ holds: (ClientTerm) -> Bool) -> Bool {
        if holds(term) { return true }
        guard let prefix = term.prefix else { return false }
        for length in lengths {
            guard length < prefix.length, let outer = Prefix(prefix.address, length: length) else { return false }
            if holds(.prefix(outer)) { return true }
        }
        return false
    }
}

extension Rule {
    /// The addresses that it names itself; none if it excepts a host by name, which may have any.
    fileprivate var sureClients: [AddressRange] {
        let excepted = except.compactMap(\.prefix?.range)
        guard excepted.count == except.count else { return [] }
        return from.compactMap(\.prefix?.range).union.subtracting(excepted)
    }
}

extension ClientTerm {
    var prefix: Prefix? {
        switch self {
        case .prefix(let prefix): prefix
        case .host: nil
        }
    }

    fileprivate func overlaps(_ other: ClientTerm) -> Bool {
        guard let prefix, let otherPrefix = other.prefix else { return self == other }
        let length = min(prefix.length, otherPrefix.length)
        return Prefix(prefix.address, length: length) == Prefix(otherPrefix.address, length: length)
    }
}
