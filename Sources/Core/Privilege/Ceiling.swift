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
    /// The clients of this host, and then of each server in the order of the configuration.
    private let opened: [OpenedClients]
    /// The index in `opened` for each `ServerID`.
    private let places: [Int]
    /// The indices in `opened` of the servers that may call their clients back.
    private let callingBack: Set<Int>
    /// The kernel's elements at the start of the netfilter process: making the table anew with them opens
    /// nothing.
    private var inherited = Inherited()
    /// The elements for addresses outside the prefixes.
    public var outside: OutsideElements

    /// The elements of an earlier run.
    public struct Inherited: Hashable, Sendable {
        var granted: Set<GrantKey> = []
        var standing: Set<StandingKey> = []
        var callers: Set<CallersKey> = []

        public init() {}

        public init(_ contents: TableContents) {
            granted = Set(contents.granted.map(\.key))
            standing = contents.standing
            callers = contents.callers
        }

        var isEmpty: Bool { granted.isEmpty && standing.isEmpty && callers.isEmpty }

        func holds(_ operation: Operation) -> Bool {
            if case .addStanding(let key) = operation { return standing.contains(key) }
            if case .addCallers(let key) = operation { return callers.contains(key) }
            return operation.issued.map(granted.contains) ?? false
        }

        /// An element that was removed on purpose is no longer inherited.
        mutating func remove(_ operation: Operation) {
            if case .revoke(let key) = operation { granted.remove(key) }
            if case .removeStanding(let key) = operation { standing.remove(key) }
            if case .removeCallers(let key) = operation { callers.remove(key) }
        }

        /// Ranges that an exchange, or a table made anew, leaves out are no longer inherited either.
        mutating func leaveRanges(of transaction: Transaction) {
            let isOfTable = transaction.operations.contains(where: \.isOfTable)
            guard isOfTable || transaction.exchangesStanding else { return }
            standing.formIntersection(
                transaction.operations.compactMap { if case .addStanding(let key) = $0 { key } else { nil } })
            guard isOfTable else { return }
            callers.formIntersection(
                transaction.operations.compactMap { if case .addCallers(let key) = $0 { key } else { nil } })
        }
    }

    private static let portmapperPort: UInt16 = 111

    /// - Parameter settings: the settings without features that this kernel lacks.
    public init(settings: Settings, rules: [Rule]) {
        shape = settings.tableShape
        never = settings.firewall.never
        let servers = settings.gateway?.servers ?? []
        opened = Self.opened([nil] + servers.map(\.name), rules)
        places =
            [0]
            + servers.enumerated().flatMap { index, server in
                Array(repeating: index + 1, count: server.addresses.count + server.aliases.count)
            }
        callingBack = Set(servers.indices.filter { servers[$0].callbacks == .auto }.map { $0 + 1 })
        outside = OutsideElements(places: places)
    }

    /// The clients of each server, made once for servers that the same rules are about.
    private static func opened(_ names: [String?], _ rules: [Rule]) -> [OpenedClients] {
        var made: [[Int]: OpenedClients] = [:]
        return names.map { name in
            let about = rules.indices.filter { rules[$0].at.covers(name) }
            if let clients = made[about] { return clients }
            let clients = OpenedClients(about.map { rules[$0] })
            made[about] = clients
            return clients
        }
    }

    /// Takes over the elements that the kernel held at the start.
    public mutating func inherit(_ contents: TableContents) {
        inherited = Inherited(contents)
        for key in inherited.granted { count(key) }
        for key in inherited.standing { count(key) }
        for key in inherited.callers { count(key) }
    }

    /// The files were read anew: elements that lie outside the new prefixes stay counted.
    public mutating func succeed(_ old: Ceiling) {
        inherited = old.inherited
        for key in old.outside.grants { count(key) }
        for key in old.outside.ranges { count(key) }
        for key in old.outside.callers { count(key) }
    }

    private mutating func count(_ key: GrantKey) {
        if opened(at: key.service.server)?.isOutside(key) == true { outside.grant(key) }
    }

    private mutating func count(_ key: StandingKey) {
        guard let addresses = opened(at: key.service.server)?.addresses(outside: key) else { return }
        outside.addStanding(key, addresses)
    }

    private mutating func count(_ key: CallersKey) {
        guard let addresses = opened(at: key.server)?.addresses(outside: key) else { return }
        outside.addCallers(key, addresses)
    }

    private func opened(at server: ServerID) -> OpenedClients? {
        let index = Int(server.caller.rawValue)
        return places.indices.contains(index) ? opened[places[index]] : nil
    }

    /// Judges a transaction. All of it is done at once, so only its final state counts.
    ///
    /// - Returns: the outside elements after the transaction, for ``done(_:_:)``.
    /// - Throws: the reason for which the transaction isn't permitted.
    public func judge(_ transaction: Transaction) throws(CommitFailure) -> OutsideElements {
        guard transaction.table == shape.name else {
            throw Self.failure("the table is \(shape.name), not \(transaction.table)", at: nil)
        }
        if let index = transaction.operations.firstIndex(where: \.isOfTable), transaction.exchangesStanding {
            throw Self.failure("all ranges are exchanged in a table that stays", at: index)
        }
        var outside = outside
        var latestOutside: [OutsideElements.Account: Int] = [:]
        for (index, operation) in transaction.operations.enumerated() {
            let count = outside.addressCount
            if let why = refusal(of: operation, &outside) { throw Self.failure(why, at: index) }
            guard outside.addressCount > count, !inherited.holds(operation) else { continue }
            if let account = operation.account(in: outside) { latestOutside[account] = index }
        }
        for (account, index) in latestOutside.sorted(by: { $0.value < $1.value }) {
            let clients = opened[account.place]
            let addressesMax = account.isOfCallers ? clients.callerHostAddressesMax : clients.hostAddressesMax
            guard outside.addressCount(of: account) > addressesMax else { continue }
            throw CommitFailure(
                errno: Self.noSpace,
                message: Self.text("the host names of rules open ports for \(addressesMax) addresses in all"),
                operation: index)
        }
        return outside
    }

    /// The kernel refused the transaction, but may have done a part of it.
    public mutating func mayBeDone(_ outside: OutsideElements) { self.outside.formUnion(outside) }

    /// The kernel has committed the transaction.
    public mutating func done(_ transaction: Transaction, _ outside: OutsideElements) {
        self.outside = outside
        guard !inherited.isEmpty else { return }
        inherited.leaveRanges(of: transaction)
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
            outside.removeAll()
            return refusal(ofShape: wanted)
        case .adoptTable(let wanted):
            outside.unstandAll()
            outside.removeCallers()
            return refusal(ofShape: wanted)
        case .deleteTable(let name):
            outside.removeAll()
            return name == shape.name ? nil : "the table is \(shape.name), not \(name)"
        case .guardPort(let service): return refusal(ofCallback: service.server) ?? refusal(ofPort: service)
        case .issue(let key, let timeout, let expiresIn, let comment):
            return refusal(of: key, &outside) ?? refusal(ofTimeout: max(timeout, expiresIn ?? .zero))
                ?? refusal(ofComment: comment)
        case .issueNew(let key, let timeout, let comment):
            return refusal(of: key, &outside) ?? refusal(ofTimeout: timeout) ?? refusal(ofComment: comment)
        case .addStanding(let key): return refusal(of: key, &outside)
        case .remember(let key, _, let comment):
            return refusal(ofCallback: key.service.server) ?? refusal(ofServer: key.service.server, for: key.client)
                ?? refusal(ofComment: comment)
        case .revoke(let key):
            outside.revoke(key)
            return nil
        case .removeStanding(let key):
            outside.removeStanding(key)
            return nil
        case .replaceStanding:
            outside.unstandAll()
            return nil
        case .addCallers(let key): return refusal(of: key, &outside)
        case .removeCallers(let key):
            outside.removeCallers(key)
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
        if let why = refusal(ofServer: service.server) { return why }
        if service.port == 0 { return "no service has port 0" }
        if service.server != .thisHost, service.port == Self.portmapperPort {
            return "\(service) of a server stays closed"
        }
        return never.contains(service.port) ? "\(service) is in firewall.never" : nil
    }

    private func refusal(of key: GrantKey, _ outside: inout OutsideElements) -> String? {
        if let why = refusal(ofPort: key.service) ?? refusal(ofServer: key.service.server, for: key.client) {
            return why
        }
        let isCallback = key.service.server.isCallback
        if isCallback, let why = refusal(ofCallsBy: key.service.server) { return why }
        guard let opened = opened(at: key.service.server), opened.isOutside(key) else { return nil }
        let addressesMax = isCallback ? opened.callerHostAddressesMax : opened.hostAddressesMax
        guard addressesMax > 0 || inherited.granted.contains(key) else {
            return isCallback
                ? "no rule permits nlockmgr at the server for \(key.client)"
                : "no rule opens anything over \(key.service.transport) for \(key.client)"
        }
        outside.grant(key)
        return nil
    }

    private func refusal(of key: StandingKey, _ outside: inout OutsideElements) -> String? {
        // Port 111 isn't guarded: the element only lets clients through to the portmapper while it is shielded
        // from strangers.
        if key.service.port == Self.portmapperPort, key.service.server == .thisHost { return nil }
        let server = key.service.server
        let why =
            refusal(ofCallback: server) ?? refusal(ofPort: key.service)
            ?? refusal(ofServer: server, for: key.clients.first)
        if let why { return why }
        guard let addresses = opened(at: server)?.addresses(outside: key) else {
            // The range has too many addresses to be counted one by one.
            guard inherited.standing.contains(key) else {
                return "no rule opens anything over \(key.service.transport) for all of \(key.clients)"
            }
            return nil
        }
        if !addresses.isEmpty { outside.addStanding(key, addresses) }
        return nil
    }

    private func refusal(of key: CallersKey, _ outside: inout OutsideElements) -> String? {
        if let why = refusal(ofCallsBy: key.server) { return why }
        if let why = refusal(ofCallback: key.server) ?? refusal(ofServer: key.server, for: key.clients.first) {
            return why
        }
        guard let addresses = opened(at: key.server)?.addresses(outside: key) else {
            return inherited.callers.contains(key)
                ? nil : "no rule permits nlockmgr at the server for all of \(key.clients)"
        }
        if !addresses.isEmpty { outside.addCallers(key, addresses) }
        return nil
    }

    /// - Parameter client: an element's client must be of the server's address family.
    private func refusal(ofServer server: ServerID, for client: IPAddress? = nil) -> String? {
        guard server != .thisHost else { return nil }
        guard let address = shape.gateway?.address(of: server) else {
            return "no server \(server.rawValue) is configured"
        }
        guard let client else { return nil }
        guard client.isIPv4 == address.isIPv4 else { return "\(client) doesn't reach \(address)" }
        // Such a key would be the one of a client's grant at the other server.
        let isServer = server.isCallback && shape.gateway?.server(at: client) != nil
        return isServer ? "\(client) is a server, which is asked as such" : nil
    }

    private func refusal(ofCallsBy server: ServerID) -> String? {
        let index = Int(server.caller.rawValue)
        guard server != .thisHost, places.indices.contains(index) else { return "only servers call back" }
        return callingBack.contains(places[index]) ? nil : "callbacks of that server are off"
    }

    /// A server that calls back gets grants, and nothing else.
    private func refusal(ofCallback server: ServerID) -> String? {
        server.isCallback ? "no server's port is meant by \(server.rawValue)" : nil
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

extension Operation {
    /// The account to which the operation's addresses belong, if it adds any.
    fileprivate func account(in outside: OutsideElements) -> OutsideElements.Account? {
        switch self {
        case .issue(let key, _, _, _), .issueNew(let key, _, _): outside.account(of: key.service.server)
        case .addStanding(let key): outside.account(of: key.service.server)
        case .addCallers(let key): outside.account(of: key.server, isOfCallers: true)
        case .makeTable, .adoptTable, .deleteTable, .guardPort, .unguardPort, .revoke, .remember, .forget,
            .removeStanding, .replaceStanding, .removeCallers, .quarantine, .release, .shield, .unshield:
            nil
        }
    }
}
