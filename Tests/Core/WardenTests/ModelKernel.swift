import Addresses
import Clock
import Firewall

/// A model of the kernel's table: executes transactions entirely or not at all, and lets elements expire.
struct ModelKernel {
    struct Element: Hashable {
        var timeout: Duration
        var expires: Instant
        var comment: String
    }

    var now = Instant.zero
    private(set) var shape: TableShape?
    private(set) var guarded: Set<ServicePort> = []
    private(set) var standing: Set<StandingKey> = []
    private(set) var callers: Set<CallersKey> = []
    private(set) var granted: [GrantKey: Element] = [:]
    private(set) var remembered: [GrantKey: Element] = [:]
    private(set) var quarantined: [IPAddress: Instant] = [:]
    private(set) var shielded: [Transport: Instant] = [:]
    private(set) var isShieldUp = false
    /// Whether a reading reports that the grants may be kept.
    var mayBeKept = false
    var committed: [Transaction] = []
    /// The failures of the next transactions.
    var refusals: [CommitFailure] = []
    private(set) var refusedCount = 0
    /// Another program flushed the ruleset, and the table was not made again since.
    private(set) var wasFlushed = false

    static let fileTableOverflow: Int32 = 23  // ENFILE
    static let noEntry: Int32 = 2  // ENOENT
    static let notPermitted: Int32 = 1  // EPERM
    static let stale: Int32 = 116  // ESTALE

    mutating func commit(_ transaction: Transaction) -> CommitFailure? {
        if !refusals.isEmpty {
            refusedCount += 1
            return refusals.removeFirst()
        }
        var next = self
        for (index, operation) in transaction.operations.enumerated() {
            if let (errno, message) = next.perform(operation) {
                refusedCount += 1
                return CommitFailure(errno: errno, message: message, operation: index)
            }
        }
        next.committed.append(transaction)
        self = next
        return nil
    }

    private mutating func empty(_ shape: TableShape) {
        self.shape = shape
        (wasFlushed, isShieldUp) = (false, false)
        (guarded, standing, callers, remembered, quarantined) = ([], [], [], [:], [:])
    }

    private mutating func perform(_ operation: Operation) -> (Int32, String)? {
        switch operation {
        case .makeTable(let shape):
            granted = [:]
            empty(shape)
            return nil
        case .adoptTable(let shape):
            guard mayBeKept else { return (Self.stale, "Stale file handle") }
            empty(shape)
            return nil
        default: break
        }
        guard let shape else { return (Self.noEntry, "No such file or directory") }
        switch operation {
        case .quarantine(let client, let timeout): quarantined[client] = now + timeout
        case .release(let client): quarantined[client] = nil
        case .shield(let transport, let timeout):
            shielded[transport] = now + timeout
            isShieldUp = true
        case .unshield: isShieldUp = false
        case .makeTable, .adoptTable, .deleteTable: return (Self.notPermitted, "unexpected")
        case .guardPort(let service): guarded.insert(service)
        case .unguardPort(let service): guarded.remove(service)
        case .issueNew(let key, let timeout, let comment):
            return perform(.issue(key, timeout: timeout, expiresIn: nil, comment: comment))
        case .issue(let key, let timeout, let expiresIn, let comment):
            if let address = shape.gateway?.address(of: key.service.server), address.isIPv4 != key.client.isIPv4 {
                return (Self.notPermitted, "\(key.client) doesn't reach \(address)")
            }
            granted[key] = Element(timeout: timeout, expires: now + (expiresIn ?? timeout), comment: comment)
            let isFull =
                granted.count > shape.grantsMax
                && granted.keys.count { $0.client.isIPv4 == key.client.isIPv4 } > shape.grantsMax
            if isFull { return (Self.fileTableOverflow, "Too many open files in system") }
        case .revoke(let key): granted[key] = nil
        case .remember(let key, let timeout, let comment):
            remembered[key] = Element(timeout: timeout, expires: now + timeout, comment: comment)
        case .forget(let key): remembered[key] = nil
        case .addStanding(let key):
            let overlaps = standing.contains {
                $0.service == key.service && $0 != key
                    && ($0.clients.contains(key.clients.first) || key.clients.contains($0.clients.first))
            }
            if overlaps { return (17, "File exists") }
            standing.insert(key)
        case .removeStanding(let key): standing.remove(key)
        case .replaceStanding: standing = []
        case .addCallers(let key): callers.insert(key)
        case .removeCallers(let key): callers.remove(key)
        }
        return nil
    }

    mutating func advance(to now: Instant) {
        self.now = now
        for (key, element) in granted where element.expires <= now { granted[key] = nil }
        for (key, element) in remembered where element.expires <= now { remembered[key] = nil }
        for (transport, end) in shielded where end <= now { shielded[transport] = nil }
        for (client, end) in quarantined where end <= now { quarantined[client] = nil }
    }

    /// A packet of the client passes and renews the element: the rule contains `keep`.
    mutating func packet(_ key: GrantKey) {
        guard let shape, granted[key] != nil else { return }
        granted[key]?.expires = now + shape.keep
    }

    /// Another program flushed the ruleset.
    mutating func flush() {
        shape = nil
        wasFlushed = true
        (guarded, standing, callers, granted, remembered, quarantined) = ([], [], [], [:], [:], [:])
    }

    func left(of keys: [GrantKey]) -> [GrantKey: Duration] {
        var found: [GrantKey: Duration] = [:]
        for key in keys { found[key] = granted[key].map { $0.expires - now } }
        return found
    }

    func opens(_ service: ServicePort, to client: IPAddress) -> Bool {
        granted[GrantKey(client: client, service: service)] != nil
            || standing.contains { $0.service == service && $0.clients.contains(client) }
    }

    private func told(_ key: GrantKey, _ element: Element) -> GrantElement {
        GrantElement(
            key: key, timeout: element.timeout, expiresIn: element.expires - now, packets: 0, bytes: 0,
            comment: element.comment)
    }

    var contents: TableContents? {
        guard shape != nil else { return nil }
        var contents = TableContents()
        contents.guarded = guarded
        contents.standing = standing
        contents.callers = callers
        contents.granted = granted.map(told)
        contents.grantsMayBeKept = mayBeKept
        contents.remembered = remembered.map(told)
        contents.quarantined = quarantined.mapValues { $0 - now }
        return contents
    }
}

extension CommitFailure {
    static let broken = CommitFailure(errno: ModelKernel.notPermitted, message: "Operation not permitted")
}
