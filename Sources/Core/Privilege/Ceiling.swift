import Addresses
import Configuration
import Firewall
import Policy

/// The most that the network-facing process may have done to the firewall, whoever speaks through it.
///
/// The netfilter process derives it from the files, by itself. What opens nothing and closes nothing of others is always
/// permitted: to revoke, to forget, to remember (dropped packets are logged), to keep an address from port 111.
public struct Ceiling: Sendable {
    /// The table as the settings ask for it, and no other.
    private let shape: TableShape
    private let never: Set<UInt16>
    private let clients: [Transport: AddressRanges]
    /// Addresses beyond the prefixes of policy for which there may be elements, all together: those of its host names,
    /// which are resolved by the other process, for to resolve is to read what strangers send.
    private let hostAddressesMax: Int
    /// What the kernel held when the netfilter process started: to make the table anew with it opens nothing.
    private var inherited = Inherited()
    /// What was done for addresses beyond the prefixes.
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
            switch operation {
            case .issue(let key, _, _, _), .issueNew(let key, _, _): granted.contains(key)
            case .addStanding(let key): standing.contains(key)
            case .makeTable, .adoptTable, .deleteTable, .guardPort, .unguardPort, .revoke, .remember, .forget,
                .removeStanding,
                .replaceStanding, .quarantine, .release, .shield, .unshield:
                false
            }
        }

        /// What was taken away on purpose is inherited no longer.
        mutating func remove(_ operation: Operation) {
            switch operation {
            case .revoke(let key): granted.remove(key)
            case .removeStanding(let key): standing.remove(key)
            case .makeTable, .adoptTable, .deleteTable, .guardPort, .unguardPort, .issue, .issueNew, .remember, .forget,
                .addStanding, .replaceStanding, .quarantine, .release, .shield, .unshield:
                break
            }
        }
    }

    private static let portmapperPort: UInt16 = 111
    /// No name has more addresses than this in force: `HostNames.addressesMax`.
    static let addressesOfNameMax = 64

    /// - Parameter settings: with what this kernel can't do already taken out.
    public init(settings: Settings, rules: [Rule]) {
        shape = settings.tableShape
        never = settings.firewall.never
        let opening = rules.filter { $0.open != .never }
        // Exceptions of host names aren't known here, so nobody is excepted by them.
        let policy = Policy(rules: opening.map(\.withoutHostExceptions))
        clients = Dictionary(
            uniqueKeysWithValues: Transport.allCases.map { ($0, AddressRanges(policy.clients(over: $0))) })
        hostAddressesMax = Set(opening.flatMap(\.hostNames)).count * Self.addressesOfNameMax
    }

    /// What the kernel was found with, at the start.
    public mutating func inherit(_ contents: TableContents) {
        inherited = Inherited(contents)
        for key in inherited.granted where isOutside(key) { outside.grant(key) }
        for key in inherited.standing {
            if let addresses = addresses(outside: key) { outside.addStanding(key, addresses) }
        }
    }

    /// The files were read anew: what was done so far stays counted, as far as it lies outside now.
    public mutating func succeed(_ old: Ceiling) {
        inherited = old.inherited
        for key in old.outside.grants where isOutside(key) { outside.grant(key) }
        for key in old.outside.ranges {
            if let addresses = addresses(outside: key) { outside.addStanding(key, addresses) }
        }
    }

    /// Judges what is asked. All of it is done at once, so what counts is what there is in the end.
    ///
    /// - Returns: what there is outside then, for ``done(_:_:)``.
    /// - Throws: why it may not be done.
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

    /// The kernel has done it.
    public mutating func done(_ transaction: Transaction, _ outside: OutsideElements) {
        self.outside = outside
        guard !inherited.isEmpty else { return }
        for operation in transaction.operations { inherited.remove(operation) }
    }

    /// Why the flows may not be ended, or `nil`.
    public func refusal(toCut service: ServicePort) -> String? { refusal(ofPort: service).map(Self.text) }

    /// Whether a grant that was found may stay, as one that is issued may be; policy doesn't count, for it is inherited.
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
        // Nobody guards it: this only lets clients through to the one that asks, while it is shielded from strangers.
        if key.service.port == Self.portmapperPort, key.service.server == .thisHost { return nil }
        if let why = refusal(ofPort: key.service) { return why }
        guard let addresses = addresses(outside: key) else {
            // Too many to be counted one by one.
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

    /// `nil`: more than all host names can have.
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
