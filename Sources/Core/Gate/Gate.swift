import Addresses
import Clock
import Configuration
import Firewall
import Policy

/// The openings: the grants that the kernel holds, the ones that are remembered, and the changes on their way to
/// the kernel's table.
public struct Gate: ~Copyable, Sendable {
    /// A call that waits for the kernel; its number means nothing here.
    public typealias Waiter = Int

    /// The elements that follow registry and policy.
    public struct Elements: Hashable, Sendable {
        public var guarded: Set<ServicePort>
        public var standing: Set<StandingKey>
        public var callers: Set<CallersKey>

        public init(
            guarded: Set<ServicePort> = [], standing: Set<StandingKey> = [], callers: Set<CallersKey> = []
        ) {
            self.guarded = guarded
            self.standing = standing
            self.callers = callers
        }
    }

    /// The state of a call's openings.
    public enum Opening: Hashable, Sendable {
        /// All that it needs is in place.
        case open
        /// So many acknowledgements are to come (``Outcome/acknowledged``).
        case waits(Int)
        /// No room is left for new grants.
        case full
        /// The kernel has to tell the remaining lives of these grants first (``inspected(_:_:at:)``).
        case looks([GrantKey])
    }

    /// The reason for which a grant is revoked, in words.
    public enum Cause: String, Hashable, Sendable {
        case notPermitted = "no longer permitted"
        case notRegistered = "no longer registered"
        case limit = "limits.grants"
        case byOperator = "by the operator"
        case byNode = "ended by another node"
        case byOrder = "by an order of the fleet"
        case ofOwnClients = "room for this node's own clients"

        /// Whether the service may come back to its port, and must find its clients again.
        var mayReturn: Bool { self == .notRegistered || self == .ofOwnClients }
    }

    private(set) var settings: Settings
    private(set) var lives: GrantLives
    var ledger = GrantLedger()
    var memory = GrantMemory()
    var writer: TableWriter
    /// Elements of an earlier run by rules with host names that are not resolved yet.
    var unjudged = Unjudged()
    /// The causes of the revocations under way.
    var causes: [GrantKey: Cause] = [:]
    /// The table was changed from outside, and is not yet restored.
    var isTamperedWith = false
    /// Calls that wait until the kernel tells the remaining lives of these grants.
    private var looks: [(keys: [GrantKey], waiter: Waiter)] = []
    /// Grows with each change that is worth saving.
    public internal(set) var savingMark: UInt64 = 0

    /// The grants to inspect in one round; it bounds the round's time.
    private static let inspectedAtOnce = 512
    /// A copy that would live on for less than this part of `keep` longer is left alone.
    private static let gainDivisor = 16

    public init(_ settings: Settings) {
        self.settings = settings
        lives = GrantLives(settings.firewall)
        writer = TableWriter(shape: settings.tableShape)
    }

    public mutating func settingsReplaced(_ settings: Settings) {
        self.settings = settings
        lives = GrantLives(settings.firewall)
        writer.shapeReplaced(settings.tableShape)
        for forgotten in memory.trim(to: settings.limits.grants) { writer.forget(forgotten) }
    }

    /// The table is in place.
    public var isTableMade: Bool { writer.isTableMade }
    /// The ports that the kernel guards.
    public var guarded: Set<ServicePort> { writer.guarded }
    public var grantCount: Int { ledger.count }
    /// The grants at each address of a server behind this gateway.
    public var grantCountOfServer: [ServerID: Int] { ledger.countOfServer }
    public var rememberedCount: Int { memory.count }
    public var standingCount: Int { writer.isTableMade ? writer.desiredStanding.count : 0 }
    /// When the transaction in flight was put together.
    public var inFlightSince: Instant? { writer.inFlightSince }

    // Mutating: docs/HACKING.md, "Rules of the house".
    /// Whether the table is as it should be, and nothing is in flight.
    public mutating func isInStep() -> Bool { writer.hasNothingToDo() }

    /// Nothing waits, and nothing is in flight.
    var isQuiet: Bool { looks.isEmpty && causes.isEmpty && writer.isIdle }

    public subscript(key: GrantKey) -> Grant? { ledger[key] }

    /// All grants, in no order.
    public var grants: some Sequence<(key: GrantKey, grant: Grant)> { ledger.all }

    /// The grants at these servers, in no order.
    public func grants(at servers: Set<ServerID>) -> [(key: GrantKey, grant: Grant)] { ledger.all(at: servers) }

    /// The client's grants.
    public func grants(of client: IPAddress) -> [GrantKey] { ledger.keys(of: client) }

    /// The grants in some places from this one on, and the place to go on at; `nil` at the end. What lives throughout is
    /// among the pages, whatever comes and goes meanwhile.
    public func grants(fromPlace place: Int, count: Int) -> (grants: [(key: GrantKey, grant: Grant)], next: Int?) {
        ledger.grants(fromPlace: place, count: count)
    }

    /// A few grants, each once; successive pages cover all grants. The order is any, and changes as grants come
    /// and go.
    public func page(from start: Int, limit: Int) -> (keys: [GrantKey], next: Int) {
        ledger.some(from: start, limit: limit)
    }

    // MARK: Opening

    /// Whether the grant that the service takes exists for this program, and the kernel keeps it for long enough:
    /// a client that asks over TCP and never asks again has at least half of `keep`.
    public mutating func hasGrant(
        _ service: ServiceOpening, for client: IPAddress, over transport: Transport, at now: Instant
    )
        -> Bool
    {
        guard service.open == .onLookup else { return true }
        let key = GrantKey(client: client, service: service.port)
        guard writer.isTableMade, let expiry = ledger.expiry(of: key, for: service.program), !writer.isRevoking(key)
        else { return false }
        return lives.suffices(expiry.nanoseconds - now.nanoseconds, over: transport)
            && !(transport == .tcp && lives.isUnprovenHidden && ledger.isUnproven(key))
    }

    /// Whether no change that waits for the kernel concerns the service and the client.
    /// - Parameter standing: the range of clients, among them this one, for which the service is always open.
    public mutating func isSettled(_ service: ServiceOpening, standing: @autoclosure () -> AddressRange?) -> Bool {
        if service.open == .never || writer.isSettled { return true }
        guard service.open == .always else { return writer.isUnaffectedByPending(service.port, standing: nil) }
        guard let range = standing() else { return false }
        return writer.isUnaffectedByPending(service.port, standing: StandingKey(clients: range, service: service.port))
    }

    /// Issues the grants that the reply needs.
    ///
    /// A call over UDP gives a grant a short life, and the kernel may keep the grant for longer than the daemon
    /// knows: the kernel is asked first.
    ///
    /// - Parameter hasLooked: whether the kernel has told the remaining lives of the grants.
    /// - Parameter awaitsElements: whether a change of guard or standing elements that is under way concerns the
    ///   services (``isSettled(_:standing:)``).
    public mutating func open(
        _ services: [ServiceOpening], for client: IPAddress, over transport: Transport, waiter: Waiter,
        hasLooked: Bool, awaitsElements: Bool, at now: Instant, wallClock: Timestamp
    ) -> Opening {
        var wanted = services
        if services.contains(where: { hasGrant($0, for: client, over: transport, at: now) }) {
            wanted.removeAll { hasGrant($0, for: client, over: transport, at: now) }
        }
        if !hasLooked, let keys = doubtful(wanted, client, over: transport) {
            looks.append((keys, waiter))
            return .looks(keys)
        }
        guard hasRoom(for: wanted.lazy.map(\.port), client: client, over: transport) else { return .full }
        for service in wanted { issue(service, to: client, over: transport, for: waiter, at: now, wallClock) }
        let outstanding = wanted.count + (awaitsElements && writer.awaitsElements(waiter) ? 1 : 0)
        return outstanding == 0 ? .open : .waits(outstanding)
    }

    private mutating func doubtful(
        _ wanted: [ServiceOpening], _ client: IPAddress, over transport: Transport
    ) -> [GrantKey]? {
        guard writer.isTableMade, lives.isDoubted(over: transport) else { return nil }
        let keys = wanted.map { GrantKey(client: client, service: $0.port) }
            .filter { ledger[$0] != nil && !writer.isUnderWay($0) && !writer.isRevoking($0) }
        return keys.isEmpty ? nil : keys
    }

    /// Whether the new grants fit within the limits; an existing grant may always be renewed.
    mutating func hasRoom(
        for wanted: some Collection<ServicePort>, client: IPAddress, over transport: Transport
    ) -> Bool {
        // Several programs may share a port.
        let new = wanted.count > 1 ? Set(wanted).count { isNew($0, client) } : wanted.count { isNew($0, client) }
        guard new > 0 else { return true }
        let limits = settings.limits
        return ledger.count(of: client) + writer.grantsUnderWay(of: client) + new <= limits.grantsPerClient
            && places + new <= limits.grants
            && (transport == .tcp || ownPlaces + new <= limits.grantsOverUDP)
    }

    // Inlined: docs/HACKING.md, "Rules of the house".
    /// The grants, as they will be.
    @inline(__always)
    private var places: Int { ledger.count - writer.revocationsWaiting + writer.grantsUnderWay }

    /// The same without copies, which take nothing of what calls over UDP may have: they give way to calls over TCP. Some
    /// of the copies may be those that are revoked.
    @inline(__always)
    private var ownPlaces: Int {
        let copies = ledger.copyCount
        return ledger.count - copies - max(0, writer.revocationsWaiting - copies) + writer.grantsUnderWay
    }

    /// Whether there is room for a copy at all.
    public var hasRoomForCopy: Bool { places < settings.limits.grants }

    /// Whether the table alone has no room for so many new grants: the client has fewer than it may have.
    public mutating func isFull(for count: Int, of client: IPAddress) -> Bool {
        ledger.count(of: client) + writer.grantsUnderWay(of: client) + count <= settings.limits.grantsPerClient
            && ledger.count - writer.revocationsWaiting + writer.grantsUnderWay + count > settings.limits.grants
    }

    private mutating func isNew(_ service: ServicePort, _ client: IPAddress) -> Bool {
        let key = GrantKey(client: client, service: service)
        return ledger[key] == nil && !writer.isUnderWay(key)
    }

    private mutating func issue(
        _ service: ServiceOpening, to client: IPAddress, over transport: Transport, for waiter: Waiter,
        at now: Instant, _ wallClock: Timestamp
    ) {
        let key = GrantKey(client: client, service: service.port)
        let isUnproven = lives.isDoubted(over: transport)
        let old = ledger[key]
        var life = lives.whole(isUnproven: isUnproven)
        // In a table that is made anew, a grant must not live shorter than in the old table.
        if isUnproven, let old, !writer.isRevoking(key) {
            life = min(max(life, old.expiresNotBefore - now), lives.keep)
        }
        let note = GrantNote(
            program: service.program, issued: old.flatMap { $0.isCopy ? nil : $0.issued } ?? wallClock.wholeSeconds,
            rule: service.rule ?? "")
        writer.issue(
            key,
            TableWriter.Issue(
                note: note, programs: Programs(service.program), timeout: life, isNew: old == nil,
                isUnproven: isUnproven),
            for: waiter)
    }

    /// The state of a copy that another node offers.
    public enum Copying: Hashable, Sendable {
        /// The kernel gets it.
        case taken
        /// The kernel has to tell the remaining life of the copy that is there first: packets may have used it since.
        case looks
        /// The limits leave no room.
        case full
        /// A grant is there already that lives longer.
        case left
    }

    /// Takes over a grant that another node issued, for the rest of its life.
    ///
    /// - Parameters:
    ///   - issued: by the other node's clock.
    ///   - isLater: it was issued after the copy that is there. It takes that one's place, however little longer it lives:
    ///     what ends that one doesn't end it.
    ///   - hasLooked: whether the kernel has told the remaining life of the copy that is there.
    public mutating func copy(
        _ service: ServiceOpening, of client: IPAddress, from origin: String, issued: Timestamp, life: Duration,
        isLater: Bool, hasLooked: Bool, at now: Instant
    ) -> Copying {
        let key = GrantKey(client: client, service: service.port)
        let old = writer.isRevoking(key) ? nil : ledger[key]
        let left = old.map { $0.expiresNotBefore - now }
        let isGain = left.map { min(life, lives.keep) - $0 > lives.keep / Self.gainDivisor } ?? true
        guard isGain || isLater, !writer.isUnderWay(key) else { return .left }
        guard hasRoom(for: [service.port], client: client, over: .tcp) else { return .full }
        guard old == nil || hasLooked || !writer.isTableMade else { return .looks }
        let life = min(max(life, left ?? life), lives.keep)
        let note = GrantNote(program: service.program, issued: issued, rule: service.rule ?? "", origin: origin)
        writer.issue(
            key,
            TableWriter.Issue(
                note: note, programs: Programs(service.program), timeout: life, isNew: ledger[key] == nil, isCopy: true)
        )
        return .taken
    }

    // MARK: Time

    /// Time passes: forgets memories that have ended.
    /// - Returns: grants that may have expired; the kernel has to tell their remaining lives.
    public mutating func timeAdvanced(to now: Instant) -> [GrantKey] {
        memory.timeAdvanced(to: now)
        return ledger.takeDue(at: now, limit: Self.inspectedAtOnce)
    }

    /// The remaining lives that the kernel reports; a grant without one has expired.
    /// - Returns: the grants that have expired, and the calls that waited for these lives.
    public mutating func inspected(
        _ keys: [GrantKey], _ found: [GrantKey: Duration], at now: Instant
    ) -> (expired: [(key: GrantKey, grant: Grant)], waiters: [Waiter]) {
        var expired: [(key: GrantKey, grant: Grant)] = []
        for key in keys {
            if let left = found[key] {
                ledger.prolong(key, notBefore: now + max(left, .milliseconds(1)))
            } else if let grant = ledger.remove(key) {
                // No client comes back to a grant that was never used, and forged calls must not fill the memory.
                if !grant.isUnproven { remember(key, grant, at: now) }
                expired.append((key, grant))
            }
        }
        let waiters = looks.filter { $0.keys == keys }.map(\.waiter)
        if !waiters.isEmpty { looks.removeAll { $0.keys == keys } }
        return (expired, waiters)
    }

    // MARK: Revoking

    public mutating func revoke(_ key: GrantKey, _ cause: Cause) {
        // What is to end for good does so, though its service goes before the kernel has done it.
        if causes[key]?.mayReturn != false || !cause.mayReturn { causes[key] = cause }
        writer.revoke(key)
    }

    /// Revokes the grants in excess of `limits.grants`, beginning with the ones that would expire first.
    public mutating func revokeExcess() {
        let excess = ledger.count - settings.limits.grants
        guard excess > 0 else { return }
        let byAge = ledger.all.sorted { ($0.grant.expiresNotBefore, $0.key) < ($1.grant.expiresNotBefore, $1.key) }
        for (key, _) in byAge.prefix(excess) { revoke(key, .limit) }
    }

    /// The clients with a grant for one of these programs at the port, held or remembered.
    public func clients(at service: ServicePort, of programs: Set<Program>) -> [IPAddress] {
        let held = ledger.all.filter {
            $0.key.service == service && $0.grant.programs.contains(where: programs.contains)
        }
        let remembered = memory.entries.filter {
            $0.key.service == service && $0.value.programs.contains(where: programs.contains)
        }
        return held.map(\.key.client) + remembered.map(\.key.client)
    }

    // MARK: Elements

    /// The elements to hold in the kernel's table.
    public mutating func desire(_ elements: Elements) { writer.desire(elements) }

    /// The guarded ports and standing elements of one server take the place of its former ones.
    public mutating func desire(_ elements: Elements, inPlaceOf former: Elements) {
        writer.desire(elements, inPlaceOf: former)
    }

    /// The standing elements, without the portmapper's own, by which clients pass the shield.
    public var standing: Set<StandingKey> { writer.desiredStanding.filter { $0.service.port != Self.portmapperPort } }

    public static let portmapperPort: UInt16 = 111

    public mutating func quarantine(_ client: IPAddress, until end: Instant) { writer.quarantine(client, until: end) }
    public mutating func release(_ client: IPAddress) { writer.release(client) }
    public mutating func shield(_ transport: Transport, until end: Instant) { writer.shield(transport, until: end) }
    public mutating func unshield() { writer.unshield() }

    /// The transaction that takes the guard away.
    public var opening: Transaction {
        Self.opening(of: settings.firewall.table, settings.firewall.management, guarded: writer.guarded)
    }

    /// The chains of `manage: sets` are the administrator's, so its table stays.
    public static func opening(
        of table: String, _ management: TableShape.Management, guarded: Set<ServicePort>
    ) -> Transaction {
        switch management {
        case .guardPorts: Transaction(table: table, operations: [.deleteTable(name: table)])
        case .sets: Transaction(table: table, operations: guarded.sorted().map(Operation.unguardPort))
        }
    }
}
