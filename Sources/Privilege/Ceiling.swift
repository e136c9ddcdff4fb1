import Firewall
import Policy
import Portmapper
import Warden

/// The most that the network-facing process may have done to the firewall, whoever speaks through it.
///
/// The netfilter process derives it from the files, by itself. What opens nothing and closes nothing of others is always
/// permitted: to revoke, to forget, to remember (dropped packets are logged), to keep an address from port 111.
public struct Ceiling: Sendable {
    /// The table as the settings ask for it, and no other.
    private let shape: TableShape
    private let never: Set<UInt16>
    private let clients: [Transport: AddressRanges]
    /// Addresses beyond the prefixes of policy that one element may open: those of its host names, which are resolved
    /// by the other process, for to resolve is to read what strangers send.
    private let hostAddressesMax: Int
    /// What the kernel held when the netfilter process started: to make the table anew with it opens nothing.
    public var inherited = Inherited()

    /// The elements of an earlier run.
    public struct Inherited: Hashable, Sendable {
        var granted: Set<GrantKey> = []
        var standing: Set<StandingKey> = []

        public init() {}

        public init(_ contents: TableContents) {
            granted = Set(contents.granted.map(\.key))
            standing = contents.standing
        }
    }

    private static let portmapperPort: UInt16 = 111
    /// No name has more addresses than this in force: `HostNames.addressesMax`.
    static let addressesOfNameMax = 64

    /// - Parameters:
    ///   - settings: with what this kernel can't do already taken out.
    ///   - pause: called every now and then, by a process that has other work to do meanwhile.
    public init(settings: Settings, rules: [Rule], pausing pause: () -> Void = {}) {
        shape = settings.tableShape
        never = settings.firewall.never
        let opening = rules.filter { $0.open != .never }
        // Exceptions of host names aren't known here, so nobody is excepted by them.
        let policy = Policy(rules: opening.map(\.withoutHostExceptions), pausing: pause)
        pause()
        clients = Dictionary(
            uniqueKeysWithValues: Transport.allCases.map {
                defer { pause() }
                return ($0, AddressRanges(policy.clients(over: $0)))
            })
        hostAddressesMax = Set(opening.flatMap(\.hostNames)).count * Self.addressesOfNameMax
    }

    /// Why the transaction may not be done, or `nil`.
    public func refusal(of transaction: Transaction) -> CommitFailure? {
        guard transaction.table == shape.name else {
            return Self.failure("the table is \(shape.name), not \(transaction.table)", at: nil)
        }
        for (index, operation) in transaction.operations.enumerated() {
            if let why = refusal(of: operation) { return Self.failure(why, at: index) }
        }
        return nil
    }

    /// Why the flows may not be ended, or `nil`.
    public func refusal(toCut service: ServicePort) -> String? { refusal(ofPort: service).map(Self.text) }

    /// Whether a grant that was found may stay, as one that is issued may be; policy doesn't count, for it is inherited.
    public func permits(staying grant: GrantKey, for left: Duration) -> Bool {
        refusal(ofPort: grant.service) == nil && refusal(ofTimeout: left) == nil
    }

    private func refusal(of operation: Operation) -> String? {
        switch operation {
        case .makeTable(let wanted), .takeTable(let wanted):
            wanted == shape ? nil : "the configuration asks for another table than \(wanted)"
        case .deleteTable(let name): name == shape.name ? nil : "the table is \(shape.name), not \(name)"
        case .guardPort(let service): refusal(ofPort: service)
        case .issue(let key, let timeout, let expiresIn, _):
            refusal(of: key) ?? refusal(ofTimeout: max(timeout, expiresIn ?? .zero))
        case .issueNew(let key, let timeout, _): refusal(of: key) ?? refusal(ofTimeout: timeout)
        case .stand(let key): refusal(of: key)
        case .unguardPort, .revoke, .remember, .forget, .unstand, .standAnew, .quarantine, .release, .shield, .unshield:
            nil
        }
    }

    private func refusal(ofPort service: ServicePort) -> String? {
        never.contains(service.port) ? "\(service) is in firewall.never" : nil
    }

    private func refusal(of key: GrantKey) -> String? {
        if let why = refusal(ofPort: key.service) { return why }
        let client = AddressRange(key.client, key.client)
        guard exceedsPolicy(client, key.service), !inherited.granted.contains(key) else { return nil }
        return "no rule opens anything over \(key.service.transport) for \(key.client)"
    }

    private func refusal(of key: StandingKey) -> String? {
        // Nobody guards it: this only lets clients through to the one that asks, while it is shielded from strangers.
        if key.service.port == Self.portmapperPort { return nil }
        if let why = refusal(ofPort: key.service) { return why }
        guard exceedsPolicy(key.clients, key.service), !inherited.standing.contains(key) else { return nil }
        return "no rule opens anything over \(key.service.transport) for all of \(key.clients)"
    }

    private func exceedsPolicy(_ range: AddressRange, _ service: ServicePort) -> Bool {
        let limit = hostAddressesMax + 1
        return (clients[service.transport]?.uncovered(range, limit: limit) ?? limit) > hostAddressesMax
    }

    private func refusal(ofTimeout timeout: Duration) -> String? {
        timeout > shape.keep ? "\(timeout) is longer than firewall.keep, \(shape.keep)" : nil
    }

    private static func text(_ why: String) -> String { "refused by the netfilter process: \(why)" }

    private static func failure(_ why: String, at operation: Int?) -> CommitFailure {
        CommitFailure(errno: notPermitted, message: text(why), operation: operation)
    }

    private static let notPermitted: Int32 = 1  // EPERM; this target imports no C library
}

extension Rule {
    fileprivate var withoutHostExceptions: Rule {
        var rule = self
        rule.except = except.filter { $0.hostName == nil }
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
