import Addresses
import AuditTrail
import Calls
import Clock
import Configuration
import Firewall
import ONCRPC
import Policy
import Portmapper

/// The state machine that decides: events in, actions out; no clock and no I/O.
///
/// Each event appends the actions to take. Events are processed in order, on one thread. After a group of events
/// that arrived together, ``flush(at:into:)`` commits the changes that they need of the kernel in one
/// transaction.
public struct Warden: Sendable {
    public internal(set) var settings: Settings
    var lives: GrantLives
    public internal(set) var policy: Policy { didSet { listings.clear() } }
    /// The rules of the policy with host names that are not resolved yet.
    public internal(set) var pending: PendingRules
    var unjudged = Unjudged()
    /// Grows with each change that is worth saving.
    public internal(set) var savingMark: UInt64 = 0
    public internal(set) var counters = Counters()
    let names: ProgramNames
    /// Trusted owners as rpcbind shows them: `superuser`, or a uid in decimal.
    let trustedOwners: Set<String>
    /// Wall-clock time at ``Instant/zero``, for people only.
    var epoch = Timestamp(milliseconds: 0)

    /// `nil` until rpcbind has answered once.
    public internal(set) var registry: Registry? {
        didSet {
            listings.clear()
            lastMatch = nil
        }
    }
    /// The listing that ``registry`` was made from.
    var registryListing = Listing()
    /// Calls that share an answer share the registration that it came from.
    var lastMatch: MatchedRegistration?
    /// rpcbind keeps no list of version 2, which happens where /etc/services lacks sunrpc. GETPORT then answers 0
    /// for every program, so look-ups are answered from DUMP.
    var isVersion2ListMissing = false
    /// Set while the registry can't be read though rpcbind lives: policy's programs are asked for one by one.
    var survey: Survey?
    /// The last port that was answered, and its encoding.
    var lastPort = (port: UInt32(0), results: PortmapperResult.port(0).encoded)
    /// `nil` until the first attempt has ended.
    public internal(set) var isRpcbindUp: Bool?
    var services: ServiceTable
    /// The looks at listeners that are under way, in the order in which their results will be reported.
    var inspections: [Inspection] = []
    /// The look that the current event will ask for.
    var nextInspection = Inspection()
    /// Exchanges that wait until the kernel tells the remaining lives of grants, with these grants.
    var grantLooks: [(keys: [GrantKey], opener: Exchange.ID)] = []
    var nextRefresh = Instant.zero

    var exchanges = ExchangeTable()
    /// The number of exchanges under way of each caller on another host.
    var exchangesOfClient: [Caller: Int] = [:]
    /// The exchanges of this host, which has places of its own.
    var localExchanges = CaseCounts<Transport>()
    /// UDP calls under way, so that a retransmission is not asked and answered twice.
    var underWay: [CallKey: Exchange.ID] = [:]
    var questions = SharedQuestions<Asker>()
    var connections: ConnectionTable
    var rates: RateLimiter
    var listings = ListingCache()
    var listingBudget = ListingBudget()
    var auditLimiter = AuditLimiter()
    /// Empty except with `audit.permitted: first`.
    var firstPermissions = FirstPermissions()

    /// Whether guard, standing elements and grants are as registry, listeners and policy ask for.
    var areServicesSettled = false
    var staleLogged: Set<ServicePort> = []
    /// Orphans that were logged.
    var orphansLogged: Set<ServicePort> = []
    /// Logged registrations over netids that no packet filter sees.
    var unguardableLogged: Set<RPCB> = []
    var ledger = GrantLedger()
    var memory = GrantMemory()
    var denials = DenialLog()
    /// Sources that look like enumeration, until they are reported.
    var suspects = DueTable<DenialLog.Source>()
    var quarantines = QuarantineList()
    var shield = StrangerShield()
    /// The table was changed from outside, and is not yet restored.
    var isTamperedWith = false
    /// The causes of the revocations under way.
    var revocationCauses: [GrantKey: String] = [:]
    var writer: TableWriter

    /// Calls of other hosts under way; above this number the newest are dropped.
    static let exchangesMax = 16_384
    /// Calls of one client and transport under way. Pipelined calls must not take the places of other clients,
    /// and UDP calls forged in a client's name must not take the places of its TCP connections.
    static let exchangesPerClientMax = 1024
    /// Calls of this host's users under way. Over TCP: one for each of its connections by default, so that one
    /// user's flood leaves lockd its place (the portmap server takes one call of such a connection at a time).
    static let exchangesLocalOverTCPMax = 1024
    static let exchangesLocalOverUDPMax = 512
    /// Different questions of other hosts' calls. With the questions of this host they are no more than the 4096
    /// that a channel to rpcbind takes: whatever this host's users ask, other hosts' questions have their places.
    static let questionsMax = 4096 - exchangesLocalOverTCPMax - exchangesLocalOverUDPMax
    /// The part of these, and of the exchanges, that is kept for TCP: calls over UDP may be forged.
    static let questionsTCPReserve = 1024
    static let exchangesTCPReserve = 4096

    /// A look at the listeners, and the exchanges that wait for it.
    struct Inspection {
        var services: Set<ServicePort> = []
        /// Exchanges that asked for the registry, which was read just before.
        var readers: [Exchange.ID] = []
        /// Exchanges that wait to know whether their services listen.
        var openers: [Exchange.ID] = []
        /// Whether a look is due, whether or not it has any services.
        var isDue = false
    }

    struct Caller: TableKey {
        var address: IPAddress
        var transport: Transport

        init(_ peer: Peer) { (address, transport) = (peer.address, peer.transport) }

        func combine(into hash: inout TableHash) {
            address.combine(into: &hash)
            hash.combine(transport.rawValue)
        }
    }

    struct CallKey: TableKey {
        var address: IPAddress
        var port: UInt16
        var xid: UInt32

        init(_ request: Exchange.Request) {
            (address, port, xid) = (request.peer.address, request.peer.port, request.xid)
        }

        func combine(into hash: inout TableHash) {
            address.combine(into: &hash)
            hash.combine(UInt64(port) << 32 | UInt64(xid))
        }
    }

    enum Asker: Sendable {
        case exchange(Exchange.ID)
        case refresh
        /// See ``Survey``.
        case survey
        /// Whether rpcbind keeps a list of version 2.
        case version2Check
    }

    public init(
        settings: Settings, policy: Policy, pending: PendingRules = .none, names: ProgramNames,
        trustedOwners: Set<String>
    ) {
        self.settings = settings
        lives = GrantLives(settings.firewall)
        self.policy = policy
        self.pending = pending
        self.names = names
        self.trustedOwners = trustedOwners.union([Survey.owner])
        services = ServiceTable(owners: Self.uids(of: trustedOwners))
        connections = ConnectionTable(limits: settings.limits)
        rates = Self.rateLimiter(settings.limits)
        writer = TableWriter(shape: settings.tableShape)
    }

    /// rpcbind shows root as `superuser`, and any other user by uid. `nil`: a trusted owner is neither, so its
    /// sockets can't be recognized.
    private static func uids(of owners: Set<String>) -> Set<UInt32>? {
        let uids = owners.map { $0 == "superuser" ? 0 : UInt32($0) }
        return uids.contains(nil) ? nil : Set(uids.compactMap(\.self))
    }

    static func rateLimiter(_ limits: Settings.Limits) -> RateLimiter {
        RateLimiter(perSecond: limits.callsPerSecond, burst: 4 * limits.callsPerSecond)
    }

    /// The table is in place.
    public var isGuarding: Bool { writer.isTableMade }

    /// Calls are under way.
    public var isAnswering: Bool { !exchanges.isEmpty }

    public func wallClock(at now: Instant) -> Timestamp { epoch + (now - .zero) }

    /// The wall clock was read; it may have been set since the last reading.
    public mutating func wallClockRead(_ time: Timestamp, at now: Instant) {
        epoch = time + (.zero - now)
    }

    /// Time passes: refreshes the registry if that is due, looks after grants, sums up the events that the log
    /// suppressed.
    public mutating func timeAdvanced(to now: Instant, into actions: inout [Action]) {
        if now >= nextRefresh {
            nextRefresh = now + settings.rpcbind.refresh
            ask(.registry, for: .refresh, at: now, into: &actions)
        }
        for id in connections.expired(at: now) {
            connections.closed(id)
            actions.append(.closeConnection(id))
        }
        crowdOut(connections.surplus(at: now), into: &actions)
        memory.timeAdvanced(to: now)
        let due = ledger.takeDue(at: now, limit: Self.inspectionsAtOnce)
        if !due.isEmpty { actions.append(.inspectGrants(due)) }
        lookAfterSources(at: now, into: &actions)
        if shield.takeEnd(at: now) { writer.unshield() }
        for event in auditLimiter.summary(at: now) { actions.append(.audit(event)) }
        flush(at: now, into: &actions)
    }

    /// The last event: sums up the events that the log suppressed.
    public mutating func stopping(at now: Instant, into actions: inout [Action]) {
        for event in auditLimiter.lastSummary(at: now) { actions.append(.audit(event)) }
    }

    /// The grants to inspect in one round; it bounds the round's time.
    static let inspectionsAtOnce = 512

    /// Commits the gathered changes in one transaction.
    public mutating func flush(at now: Instant, into actions: inout [Action]) {
        if !writer.isTableMade { for (transport, end) in shield.ends { writer.shield(transport, until: end) } }
        guard let transaction = writer.nextTransaction(restoring: ledger, memory, quarantines, at: now) else { return }
        actions.append(.commit(transaction))
    }

    mutating func ask(_ question: Question, for asker: Asker, at now: Instant, into actions: inout [Action]) {
        if questions.join(asker, question, at: now) { actions.append(.ask(question)) }
    }

    /// Counts an event that the daemon logs by itself, without the Warden.
    public mutating func noteEvent(_ kind: AuditEvent.Kind) { counters.events[kind] += 1 }

    mutating func audit(_ event: AuditEvent, at now: Instant, into actions: inout [Action]) {
        if admitsEvent(event.kind, of: event.client, over: event.transport, at: now) { actions.append(.audit(event)) }
    }

    /// Counts an event, and returns whether it may be logged; an event that won't be logged needn't be put
    /// together.
    mutating func admitsEvent(
        _ kind: AuditEvent.Kind, of client: IPAddress?, over transport: Transport?, at now: Instant
    ) -> Bool {
        noteEvent(kind)
        let isListed = client.map { policy.lists($0) } ?? false
        let isAdmitted = auditLimiter.admits(kind, of: client, isListed: isListed, over: transport, at: now)
        if !isAdmitted { counters.suppressed += 1 }
        return isAdmitted
    }
}
