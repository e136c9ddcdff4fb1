import Addresses

/// The possible permissions by rules with host names whose addresses are not all known yet.
///
/// Elements that an earlier run opened by these rules are spared: a slow or dead name server must not cost a
/// client its mounts.
public struct PendingRules: Sendable {
    public static let none = PendingRules()

    /// The host names that have no addresses yet, or of one family only.
    public let names: Set<String>
    /// The rules as if an unresolved name in `from` were every address; an unresolved exception excepts no
    /// client.
    private let possible: Policy
    /// The same rules, without the ones that have an unresolved name in `from`.
    private let certain: Policy
    /// The number of addresses that all the unresolved names of `from` may have together.
    private let addressesMax: Int

    public init(rules: [Rule] = [], addresses: [String: HostAddresses] = [:]) {
        let isPending = { (term: ClientTerm) in
            term.hostName.map { name in addresses[name].map { $0.unknown != nil } ?? true } ?? false
        }
        let pending = rules.filter { $0.open != .never && ($0.from + $0.except).contains(where: isPending) }
        let named = Set(pending.flatMap(\.from).filter(isPending).compactMap(\.hostName))
        names = named.union(pending.flatMap(\.except).filter(isPending).compactMap(\.hostName))
        addressesMax = named.count * HostAddresses.countMax
        let known = pending.map { rule in
            var rule = rule
            rule.except.removeAll(where: isPending)
            return rule
        }
        certain = Policy(rules: known.filter { !$0.from.contains(where: isPending) }, addresses: addresses)
        possible = Policy(
            rules: known.map { rule in
                var rule = rule
                if rule.from.contains(where: isPending) { rule.from = Self.everybody }
                return rule
            }, addresses: addresses)
    }

    public var isEmpty: Bool { names.isEmpty }

    /// Whether a rule may turn out to permit the program to the client, and to open its port.
    public func mayPermit(_ program: Program, over transport: Transport, by client: IPAddress) -> Bool {
        guard case .permitted = possible.lookup(program, over: transport, by: client) else { return false }
        return true
    }

    /// Whether the service may turn out to be always open for these clients.
    ///
    /// A name has a few addresses, never a prefix: a range larger than the names can have isn't theirs.
    public func mayStand(_ clients: AddressRange, _ program: Program, over transport: Transport) -> Bool {
        if certain.standing(program, over: transport).cover(clients) { return true }
        return clients.hasAtMost(addressesMax) && possible.standing(program, over: transport).cover(clients)
    }

    private static let everybody = [IPAddress.v4(0), .v6(0)].compactMap { Prefix($0, length: 0) }
        .map(ClientTerm.prefix)
}

extension ClientTerm {
    fileprivate var hostName: String? {
        switch self {
        case .host(let name): name
        case .prefix: nil
        }
    }
}

extension [AddressRange] {
    /// Whether one of the ranges covers the clients; the ranges are disjoint and ascend.
    fileprivate func cover(_ clients: AddressRange) -> Bool {
        range(holding: clients.first)?.contains(clients.last) ?? false
    }
}

extension AddressRange {
    fileprivate func hasAtMost(_ count: Int) -> Bool {
        guard count > 0 else { return false }
        return switch (first, last) {
        case (.v4(let first), .v4(let last)): last - first < count
        case (.v6(let first), .v6(let last)): last.value - first.value < UInt128(count)
        case (.v4, .v6), (.v6, .v4): false
        }
    }
}
