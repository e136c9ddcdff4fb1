import Addresses
import Firewall
import Policy

/// The clients to whom the rules about one server, or about this host, open anything.
struct OpenedClients: Sendable {
    private let clients: [Transport: AddressRanges]
    /// The clients whose portmapper the server may ask: a rule opens nlockmgr there to them.
    private let callers: AddressRanges
    /// The number of addresses outside the prefixes of policy that may have elements, all together: the addresses
    /// of policy's host names. The other process resolves these, because resolving means reading data from
    /// strangers.
    let hostAddressesMax: Int
    /// The same for addresses whose portmapper the server may ask.
    let callerHostAddressesMax: Int

    private static let nlockmgr = Program(100_021)

    init(_ rules: [Rule]) {
        let opening = rules.filter { $0.open != .never }
        let locking = opening.filter { $0.names(Self.nlockmgr) }
        let policy = Policy(rules: opening.map(\.withoutHostExceptions))
        clients = Dictionary(
            uniqueKeysWithValues: Transport.allCases.map { ($0, AddressRanges(policy.clients(over: $0))) })
        callers = AddressRanges(Policy(rules: locking.map(\.withoutHostExceptions).map(\.overTCP)).clients(over: .tcp))
        hostAddressesMax = Self.hostAddressesMax(opening)
        callerHostAddressesMax = Self.hostAddressesMax(locking)
    }

    private static func hostAddressesMax(_ rules: [Rule]) -> Int {
        Set(rules.flatMap(\.hostNames)).count * HostAddresses.countMax
    }

    func isOutside(_ key: GrantKey) -> Bool {
        let permitted = key.service.server.isCallback ? callers : clients[key.service.transport]
        return permitted?.uncovered(AddressRange(key.client, key.client), limit: 1)?.isEmpty != true
    }

    /// `nil`: more addresses than all host names can have.
    func addresses(outside key: StandingKey) -> [IPAddress]? {
        clients[key.service.transport]?.uncovered(key.clients, limit: hostAddressesMax)
    }

    func addresses(outside key: CallersKey) -> [IPAddress]? {
        callers.uncovered(key.clients, limit: callerHostAddressesMax)
    }
}

extension Rule {
    // Exceptions by host names aren't known in the netfilter process, so they except no client.
    fileprivate var withoutHostExceptions: Rule {
        var rule = self
        rule.except = except.filter { $0.hostName == nil }
        return rule
    }

    /// The transport of a call to a client's portmapper isn't that of the service.
    fileprivate var overTCP: Rule {
        var rule = self
        rule.over = [.tcp]
        return rule
    }

    fileprivate var hostNames: [String] { from.compactMap(\.hostName) }
}

extension ClientTerm {
    fileprivate var hostName: String? {
        switch self {
        case .host(let name): name
        case .prefix: nil
        }
    }
}
