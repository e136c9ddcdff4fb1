import Portmapper

/// Something that a policy says and that is probably not what was wanted.
public struct PolicyWarning: Hashable, Sendable {
    public var location: Location
    public var message: String

    public init(location: Location, message: String) {
        self.location = location
        self.message = message
    }

    /// Each rule by itself and beside the others, in the rules' order.
    public static func warnings(of rules: [Rule]) -> [PolicyWarning] {
        rules.flatMap { rule in
            [openToTheWorld(rule), nfsOnLookup(rule, beside: rules), nfsWithoutLocks(rule, beside: rules)]
                .compactMap { $0 }.map { PolicyWarning(location: rule.location, message: $0) }
        }
    }

    private static func openToTheWorld(_ rule: Rule) -> String? {
        guard rule.open == .always, let world = rule.from.first(where: \.isWholeWorld)?.prefix else { return nil }
        return "\"open: always\" for the whole world (\(world)): these ports are open to everyone"
    }

    /// NFSv3 clients never ask the portmapper again after the mount: once the grant is gone, the mount hangs.
    private static func nfsOnLookup(_ rule: Rule, beside rules: [Rule]) -> String? {
        guard rule.to.contains(.nfs), rule.open == .onLookup else { return nil }
        let standing = rules.filter { $0.to.contains(.nfs) && $0.open == .always && $0.over.isSuperset(of: rule.over) }
        guard !rule.clientsAreCovered(by: standing) else { return nil }
        return
            "nfs without \"open: always\": clients look it up once, at the mount, and hang when the grant has expired;"
            + " give nfs a rule of its own with \"open: always\""
    }

    /// Without nlockmgr and status the first lock of an NFSv3 client fails or hangs. NFSv4 locks through nfs itself.
    private static func nfsWithoutLocks(_ rule: Rule, beside rules: [Rule]) -> String? {
        // With "open: never" nobody mounts through this rule, so nobody locks.
        guard rule.to.contains(.nfs), rule.open != .never, !rule.isNFSv4Only(beside: rules) else { return nil }
        let missing = [("nlockmgr", Program.nlockmgr), ("status", .status)].filter { _, program in
            let permitting = rules.filter {
                $0.to.contains(program) && $0.open != .never && !$0.over.isDisjoint(with: rule.over)
            }
            return !rule.clientsAreCovered(by: permitting)
        }
        guard !missing.isEmpty else { return nil }
        return "nfs without \(missing.map(\.0).joined(separator: " and ")): the clients' locks would hang; permit both,"
            + " or for NFSv4 alone write \"over: [tcp]\", \"open: always\" and no mountd"
    }
}

extension Rule {
    /// NFSv4 uses TCP alone, asks no portmapper and needs no mountd.
    fileprivate func isNFSv4Only(beside rules: [Rule]) -> Bool {
        over == [.tcp] && open == .always
            && !rules.contains { $0.to.contains(.mountd) && $0.sharesClients(with: self) }
    }

    /// Every term of `from` lies within a term of one of these rules, which doesn't except it again.
    fileprivate func clientsAreCovered(by rules: [Rule]) -> Bool {
        let own = Set(except)
        let others = rules.map { (from: ClientSet($0.from), except: $0.except.filter { !own.contains($0) }) }
        return from.allSatisfy { term in
            others.contains { other in
                other.from.covers(term) && !other.except.contains { $0.overlaps(term) }
            }
        }
    }

    private func sharesClients(with other: Rule) -> Bool {
        from.contains(where: ClientSet(other.from).covers) || other.from.contains(where: ClientSet(from).covers)
    }
}

/// Terms, looked up by hash: a policy may have ten thousand, and each is compared with all others.
private struct ClientSet {
    private let terms: Set<ClientTerm>
    private let lengths: Set<Int>

    init(_ terms: [ClientTerm]) {
        self.terms = Set(terms)
        lengths = Set(terms.compactMap(\.prefix?.length))
    }

    func covers(_ term: ClientTerm) -> Bool {
        if terms.contains(term) { return true }
        guard let prefix = term.prefix else { return false }
        return lengths.contains { length in
            guard length < prefix.length, let outer = Prefix(prefix.address, length: length) else { return false }
            return terms.contains(.prefix(outer))
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

    fileprivate var isWholeWorld: Bool { prefix?.length == 0 }

    fileprivate func overlaps(_ other: ClientTerm) -> Bool {
        guard let prefix, let otherPrefix = other.prefix else { return self == other }
        let length = min(prefix.length, otherPrefix.length)
        return Prefix(prefix.address, length: length) == Prefix(otherPrefix.address, length: length)
    }
}
