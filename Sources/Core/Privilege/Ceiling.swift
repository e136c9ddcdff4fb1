import Addresses
import Configuration
import Firewall
import Policy

/// The most that the network-facing process may have done to the firewall, even if an attacker controls it.
///
/// The netfilter process derives the ceiling from the files, by itself. Operations that open nothing, and that
/// close nothing of others, are always permitted: revoking, forgetting, remembering (dropped packets are logged),
/// and keeping an address from port 111.
public struct Ceiling: Sendable {
    /// The only table that is permitted: the one that the settings ask for.
    private let shape: TableShape
    private let never: Set<UInt16>
    private let clients: [Transport: AddressRanges]
    /// The number of addresses outside the prefixes of policy that may have elements, all together: the addresses
    /// of policy's host names. The other process resolves these, because resolving means reading data from
    /// strangers.
    private let hostAddressesMax: Int
    /// The kernel's elements at the start of the netfilter process: making the table anew with them opens
    /// nothing.
    private var inherited = Inherited()
    /// The elements for addresses outside the prefixes.
    public var outside = OutsideElements()

    /// The elements of an earlier run.
    public struct Inherited: Hashable, Sendable {
        var granted: Set<GrantKey> = []
        var standing: Set<StandingKey> = []

        public init() {}

        public init(_ contents: TableContents) {
            granted = Set(contents.granted.map(\.key))
            standing = contents.standing
        }

        var isEmpty: Bool { granted.isEmpty && standing.isEmpty }

        func holds(_ operation: Operation) -> Bool {
            if case .addStanding(let key) = operation { return standing.contains(key) }
            return operation.issued.map(granted.contains) ?? false
        }

        /// An element that was removed on purpose is no longer inherited.
        mutating func remove(_ operation: Operation) {
            if case .revoke(let key) = operation { granted.remove(key) }
            if case .removeStanding(let key) = operation { standing.remove(key) }
        }
    }

    private static let portmapperPort: UInt16 = 111
    /// No name has more addresses than this in force: `HostNames.addressesMax`.
    static let addressesOfNameMax = 64

    /// - Parameter settings: the settings without features that this kernel lacks.
    public init(settings: Settings, rules: [Rule]) {
        shape = settings.tableShape
        never = settings.firewall.never
        let opening = rules.about(nil).filter { $0.open != .never }
        // Exceptions by host names aren't known here, so they except no client.
        let policy = Policy(rules: opening.map(\.withoutHostExceptions))
        clients = Dictionary(
            uniqueKeysWithValues: Transport.allCases.map { ($0, AddressRanges(policy.clients(over: $0))) })
        hostAddressesMax = Set(opening.flatMap(\.hostNames)).count * Self.addressesOfNameMax
    }

    /// Takes over the elements that the kernel held at the start.
    public mutating func inherit(_ contents: TableContents) {
        inherited = Inherited(contents)
        for key in inherited.granted where isOutside(key) { outside.grant(key) }
        for key in inherited.standing {
            if let addresses = addresses(outside: key) { outside.addStanding(key, addresses) }
        }
    }

    /// The files were read anew: elements that lie outside the new prefixes stay counted.
    public mutating func succeed(_ old: Ceiling) {
        inherited = old.inherited
        for key in old.outside.grants where isOutside(key) { outside.grant(key) }
        for key in old.outside.ranges {
            if let addresses = addresses(outside: key) { outside.addStanding(key, addresses) }
        }
    }

    /// Judges a transaction. All of it is done at once, so only its final state counts.
    ///
    /// - Returns: the outside elements after the transaction, for ``done(_:_:)``.
    /// - Throws: the reason for which the transaction isn't permitted.
    public func judge(_ transaction: Transaction) throws(CommitFailure) -> OutsideElements {
        guard transaction.table == shape.name else {
            throw Self.failure("the table is \(shape.name), not \(transaction.table)", at: nil)
        }
        var outside = outside
        var latestOutside: Int?
        for (index, operation) in transaction.operations.enumerated() {
            let count = outside.addressCount
            if let why = refusal(of: operation, &outside) { throw Self.failure(why, at: index) }
            if outside.addressCount > count, !inherited.holds(operation) { latestOutside = index }
        }
        guard let latestOutside, outside.addressCount > hostAddressesMax else { return outside }
        throw CommitFailure(
            errno: Self.noSpace,
            message: Self.text("the host names of rules open ports for \(hostAddressesMax) addresses in all"),
            operation: latestOutside)
    }

    /// The kernel has committed the transaction.
    public mutating func done(_ transaction: Transaction, _ outside: OutsideElements) {
        self.outside = outside
        guard !inherited.isEmpty else { return }
        for operation in transaction.operations { inherited.remove(operation) }
    }

    /// The reason for which the flows may not be cut, or `nil`.
    public func refusal(toCut service: ServicePort) -> String? { refusal(ofPort: service).map(Self.text) }

    /// Whether a grant that was found may stay, by the same limits of port and life as a new grant. Policy
    /// doesn't count, because the grant is inherited.
    public func permits(staying grant: GrantKey, for left: Duration) -> Bool {
        refusal(ofPort: grant.service) == nil && refusal(ofTimeout: left) == nil
    }

    private func refusal(of operation: Operation, _ outside: inout OutsideElements) -> String? {
        switch operation {
        case .makeTable(let wanted):
            outside = OutsideElements()
            return refusal(ofShape: wanted)
        case .adoptTable(let wanted):
            outside.unstandAll()
            return refusal(ofShape: wanted)
        case .deleteTable(let name):
            outside = OutsideElements()
            return name == shape.name ? nil : "the table is \(shape.name), not \(name)"
        case .guardPort(let service): return refusal(ofPort: service)
        case .issue(let key, let timeout, let expiresIn, let comment):
            return refusal(of: key, &outside) ?? refusal(ofTimeout: max(timeout, expiresIn ?? .zero))
                ?? refusal(ofComment: comment)
        case .issueNew(let key, let timeout, let comment):
            return refusal(of: key, &outside) ?? refusal(ofTimeout: timeout) ?? refusal(ofComment: comment)
        case .addStanding(let key): return refusal(of: key, &outside)
        case .remember(_, _, let comment): return refusal(ofComment: comment)
        case .revoke(let key):
            outside.revoke(key)
            return nil
        case .removeStanding(let key):
            outside.removeStanding(key)
            return nil
        case .replaceStanding:
            outside.unstandAll()
            return nil
        case .addCallers, .removeCallers: return nil
        case .unguardPort, .forget, .quarantine, .release, .shield, .unshield: return nil
        }
    }

    private func refusal(ofShape wanted: TableShape) -> String? {
        wanted == shape ? nil : "the configuration asks for another table than \(wanted)"
    }

    private func refusal(ofComment comment: String) -> String? {
        ElementComment.permits(comment)
            ? nil
            : "a comment has more than \(ElementComment.bytesMax) bytes, or others than printable ASCII without \" and \\"
    }

    private func refusal(ofPort service: ServicePort) -> String? {
        guard service.server == .thisHost else { return "no server \(service.server.rawValue) is configured" }
        return never.contains(service.port) ? "\(service) is in firewall.never" : nil
    }

    private func refusal(of key: GrantKey, _ outside: inout OutsideElements) -> String? {
        if let why = refusal(ofPort: key.service) { return why }
        guard isOutside(key) else { return nil }
        guard hostAddressesMax > 0 || inherited.granted.contains(key) else {
            return "no rule opens anything over \(key.service.transport) for \(key.client)"
        }
        outside.grant(key)
        return nil
    }

    private func refusal(of key: StandingKey, _ outside: inout OutsideElements) -> String? {
        // Port 111 isn't guarded: the element only lets clients through to the portmapper while it is shielded
        // from strangers.
        if key.service.port == Self.portmapperPort, key.service.server == .thisHost { return nil }
        if let why = refusal(ofPort: key.service) { return why }
        guard let addresses = addresses(outside: key) else {
            // The range has too many addresses to be counted one by one.
            guard inherited.standing.contains(key) else {
                return "no rule opens anything over \(key.service.transport) for all of \(key.clients)"
            }
            return nil
        }
        if !addresses.isEmpty { outside.addStanding(key, addresses) }
        return nil
    }

    private func isOutside(_ key: GrantKey) -> Bool {
        clients[key.service.transport]?.uncovered(AddressRange(key.client, key.client), limit: 1)?.isEmpty != true
    }

    /// `nil`: more addresses than all host names can have.
    private func addresses(outside key: StandingKey) -> [IPAddress]? {
        clients[key.service.transport]?.uncovered(key.clients, limit: hostAddressesMax)
    }

    private func refusal(ofTimeout timeout: Duration) -> String? {
        timeout > shape.keep ? "\(timeout) is longer than firewall.keep, \(shape.keep)" : nil
    }

    private static func text(_ why: String) -> String { "refused by the netfilter process: \(why)" }

    private static func failure(_ why: String, at operation: Int?) -> CommitFailure {
        CommitFailure(errno: notPermitted, message: text(why), operation: operation)
    }

    // This target imports no C library.
    private static let notPermitted: Int32 = 1  // EPERM
    private static let noSpace: Int32 = 28  // ENOSPC
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
