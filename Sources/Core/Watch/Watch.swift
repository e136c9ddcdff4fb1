import Addresses
import AuditTrail
import Calls
import Clock
import Configuration
import Policy

/// What the callers do: their rates, connections and denials, and the measures against the ones that probe.
public struct Watch: ~Copyable, Sendable {
    /// A measure, or a finding to be logged.
    public enum Consequence: Hashable, Sendable {
        case log(AuditEvent)
        /// What an operator did: no rate of the log swallows it.
        case record(AuditEvent)
        /// The kernel drops the client's packets to guarded ports until then.
        case quarantine(IPAddress, until: Instant)
        case release(IPAddress)
        /// Other nodes of the fleet are told of the quarantine.
        case tell(IPAddress, SharedQuarantine)
        /// Other nodes are told that an operator, or policy, lifted it.
        case tellRelease(IPAddress)
    }

    /// A quarantine of this node, for the others: calls over TCP alone would have sufficed, whose source isn't forged.
    public struct SharedQuarantine: Hashable, Sendable {
        public var from: Instant
        public var until: Instant
        public var denials: Int
    }

    /// One line of `denials`.
    public struct DenialEntry: Hashable, Sendable {
        public var client: IPAddress
        public var reasons: [DenialReason]
        public var programs: [Program]
        public var count: Int
        public var first: Instant
        public var last: Instant
        public var isQuarantined: Bool
    }

    /// Suspects that wait for their report at once; there are no more reports than lines for them.
    private static let suspectsMax = 1024
    /// How long a suspect is watched before it is reported: one event tells all its calls.
    static let watched: Duration = .seconds(3)
    /// The time within which denials belong together, if no quarantine setting says so.
    private static let episode: Duration = .seconds(60)
    /// A source that was silent for longer ranks behind sources that weren't.
    private static let active: Duration = .seconds(60)

    public var connections: ConnectionTable
    private var settings: Settings
    private var rates: RateLimiter
    private var listingBudget = ListingBudget()
    private(set) var denials = DenialLog()
    /// Sources that look like enumeration, until they are reported.
    private(set) var suspects = DueTable<DenialLog.Source>()
    private var quarantines = QuarantineList()
    /// The quarantines of this node, if other nodes are told of them.
    public private(set) var shared: [IPAddress: SharedQuarantine] = [:]
    /// Those that other nodes have told.
    private var foreign: Set<IPAddress> = []
    /// What an operator released here, and until when no other node's word brings it back.
    private var pardons: [IPAddress: Instant] = [:]
    private var shield = StrangerShield()

    public init(_ settings: Settings) {
        self.settings = settings
        connections = ConnectionTable(limits: settings.limits)
        rates = Self.rates(settings.limits)
    }

    private static func rates(_ limits: Settings.Limits) -> RateLimiter {
        RateLimiter(perSecond: limits.callsPerSecond, burst: 4 * limits.callsPerSecond)
    }

    public mutating func settingsReplaced(_ settings: Settings) {
        if settings.limits != self.settings.limits {
            rates = Self.rates(settings.limits)
            connections.limitsReplaced(settings.limits)
        }
        self.settings = settings
    }

    // MARK: Rates

    /// Whether the caller's rate permits one more call.
    public mutating func admits(_ peer: Peer, isListed: Bool, at now: Instant) -> Bool {
        rates.admits(RateLimiter.Key(peer.address, peer.transport, isListed: isListed), at: now)
    }

    /// The longest listing that a datagram carries.
    public static let listingBytesMax = ListingBudget.datagramBytesMax

    /// Whether the client may be sent a listing of this length over UDP now.
    public mutating func admitsListing(_ byteCount: Int, to client: IPAddress, at now: Instant) -> Bool {
        listingBudget.admits(byteCount, to: client, at: now)
    }

    // MARK: Denials

    /// A call was denied, or is malformed (`nil`): remembers it, and judges its source.
    public mutating func denied(
        _ incoming: IncomingCall, _ reason: DenialReason?, isOwnDoing: Bool, isListed: Bool, at now: Instant
    ) -> [Consequence] {
        let client = incoming.peer.address
        let finding = denials.add(
            incoming, reason, isOwnDoing: isOwnDoing, isListed: isListed,
            within: settings.quarantine?.within ?? Self.episode, at: now)
        let source = DenialLog.Source(client, isListed: isListed)
        if finding.isSuspectedNow { suspect(source, at: now) }
        guard let quarantine = settings.quarantine, quarantines[client] == nil else { return [] }
        // A UDP call in a named client's name may be forged.
        guard (isListed ? finding.overTCP : finding.inAll) >= quarantine.after else { return [] }
        return isListed && !quarantine.includesListed
            ? warning(source)
            : quarantined(
                incoming.peer, source, quarantine, isProven: finding.overTCP >= quarantine.after, at: now)
    }

    private mutating func suspect(_ source: DenialLog.Source, at now: Instant) {
        guard suspects.count < Self.suspectsMax else { return denials.unsuspect(source) }
        suspects.insert(source, at: now + Self.watched)
    }

    /// Reports the suspects that were watched for long enough, and releases the clients that have served their
    /// quarantine.
    public mutating func timeAdvanced(to now: Instant, isListed: (IPAddress) -> Bool) -> [Consequence] {
        var consequences: [Consequence] = []
        while let (source, at) = suspects.popFirst(until: now) {
            guard let record = denials[source], record.suspectedAt.map({ $0 + Self.watched }) == at else { continue }
            // The calls that looked like showmount were a mount after all.
            guard record.looksLikeEnumeration else {
                denials.unsuspect(source)
                continue
            }
            consequences += report(source, record, at: now)
        }
        for client in quarantines.takeDue(at: now) {
            denials.forgive(DenialLog.Source(client, isListed: isListed(client)))
            consequences += released(client, "its time is up", isOnPurpose: false)
        }
        return consequences
    }

    private mutating func report(
        _ source: DenialLog.Source, _ record: DenialLog.Record, at now: Instant
    ) -> [Consequence] {
        guard record.isToBeReported else { return [] }
        denials.noteReported(source)
        var event = enumeration(record, record.description)
        event.transport = record.episodeTransport
        event.window = now - (record.suspectedAt ?? now)
        return [.log(event)]
    }

    /// Warns about a client that a rule names, once in a while; it is not quarantined.
    private mutating func warning(_ source: DenialLog.Source) -> [Consequence] {
        guard let record = denials[source] else { return [] }
        denials.forgive(source)
        var event = enumeration(record, "not quarantined: a rule names it; \(record)")
        event.transport = .tcp
        return [.log(event)]
    }

    private func enumeration(_ record: DenialLog.Record, _ detail: String) -> AuditEvent {
        var event = AuditEvent(.enumeration, detail: detail)
        event.client = record.client
        event.count = record.episodeCount
        event.isEnforced = settings.mode == .enforce
        return event
    }

    // MARK: Quarantines

    /// The quarantined clients, with the end of each quarantine.
    public var quarantined: [IPAddress: Instant] { quarantines.clients }

    private mutating func quarantined(
        _ peer: Peer, _ source: DenialLog.Source, _ quarantine: Settings.Quarantine, isProven: Bool, at now: Instant
    ) -> [Consequence] {
        let end = now + quarantine.lasts
        guard denials.noteQuarantined(source), quarantines.add(peer.address, until: end, from: now) else { return [] }
        var consequences: [Consequence] = [.quarantine(peer.address, until: end)]
        if let record = denials[source], record.suspectedAt != nil { consequences += report(source, record, at: now) }
        var event = AuditEvent(
            .quarantined, detail: "at least \(quarantine.after) denials within \(quarantine.within)")
        event.client = peer.address
        event.transport = peer.transport
        event.count = denials[source]?.episodeCount
        event.window = quarantine.lasts
        event.isEnforced = settings.mode == .enforce
        consequences.append(.log(event))
        // Others would not take it over on the evidence of UDP.
        guard isProven, settings.fleet?.quarantines?.share == true else { return consequences }
        let told = SharedQuarantine(from: now, until: end, denials: event.count ?? 0)
        shared[peer.address] = told
        return consequences + [.tell(peer.address, told)]
    }

    /// Other nodes quarantined the client.
    ///
    /// - Parameter isSpared: a rule names it, or it is this host or a server of this gateway.
    public mutating func quarantineOffered(
        _ client: IPAddress, for duration: Duration, by nodes: [String], isSpared: Bool, at now: Instant
    ) -> [Consequence] {
        guard let quarantine = settings.quarantine, let fleet = settings.fleet?.quarantines, fleet.accept, !isSpared,
            foreign.contains(client) || quarantines[client] == nil && foreign.count < fleet.max,
            pardons[client].map({ $0 <= now }) ?? true
        else { return [] }
        let lasts = min(duration, quarantine.lasts, Settings.Fleet.Quarantines.longest)
        let end = now + lasts
        guard lasts > .zero, quarantines[client].map({ $0 < end }) ?? true,
            quarantines.add(client, until: end, from: now)
        else { return [] }
        let isNew = foreign.insert(client).inserted
        guard isNew else { return [.quarantine(client, until: end)] }
        var event = AuditEvent(.quarantined, detail: "by \(nodes.joined(separator: ", ")) of the fleet")
        event.client = client
        event.window = lasts
        event.isEnforced = settings.mode == .enforce
        return [.quarantine(client, until: end), .log(event)]
    }

    public var foreignCount: Int { foreign.count }

    private mutating func released(
        _ client: IPAddress, _ cause: String, isOnPurpose: Bool = true, isOperators: Bool = false
    ) -> [Consequence] {
        var event = AuditEvent(.released, detail: cause)
        event.client = client
        shared[client] = nil
        foreign.remove(client)
        let isTold = isOnPurpose && settings.fleet?.quarantines != nil
        return [.release(client), isOperators ? .record(event) : .log(event)] + (isTold ? [.tellRelease(client)] : [])
    }

    /// An operator lifts a quarantine.
    ///
    /// - Parameter time: a quarantine that began later stays; `nil`: now.
    /// - Returns: empty if there was none.
    public mutating func release(
        _ client: IPAddress, asOf time: Instant? = nil, isListed: Bool, at now: Instant
    ) -> [Consequence] {
        let wasQuarantined = quarantines.holds(client, at: time ?? now)
        guard wasQuarantined || quarantines[client] == nil else { return [] }
        denials.forgive(DenialLog.Source(client, isListed: isListed))
        guard wasQuarantined, quarantines.remove(client) else { return [] }
        pardons = pardons.filter { $0.value > now }
        // An operator releases few clients.
        if settings.fleet?.quarantines != nil, pardons.count < Self.pardonsMax {
            pardons[client] = now + Settings.Fleet.Quarantines.longest
        }
        return released(client, "by the operator", isOperators: true)
    }

    private static let pardonsMax = 4096

    /// Takes over the quarantines that the kernel holds, each with its time left.
    public mutating func adopt(_ found: [IPAddress: Duration], isListed: (IPAddress) -> Bool, at now: Instant) {
        for (client, left) in found where !isExempt(client, isListed) {
            _ = quarantines.add(client, until: now + left, from: nil)
        }
    }

    /// Releases clients that a new policy names or new settings don't quarantine.
    public mutating func releaseExempt(isListed: (IPAddress) -> Bool) -> [Consequence] {
        quarantines.clients.keys.sorted().flatMap { client -> [Consequence] in
            guard isExempt(client, isListed), quarantines.remove(client) else { return [] }
            return released(client, settings.quarantine == nil ? "quarantine is off" : "a rule names it")
        }
    }

    /// Clients that are never quarantined, by settings and policy.
    private func isExempt(_ client: IPAddress, _ isListed: (IPAddress) -> Bool) -> Bool {
        guard let quarantine = settings.quarantine else { return true }
        return isListed(client) && !quarantine.includesListed
    }

    // MARK: The shield

    /// Whether the kernel drops strangers, or did a moment ago, so that its counter may have changed.
    public func isShielded(at now: Instant) -> Bool { shield.isUp(at: now) }

    /// The transports over which the kernel drops strangers, each with its end.
    public var shields: [Transport: Instant] { shield.ends }

    /// Counts a stranger that called or connected.
    /// - Returns: the end of the shield and its event, if the kernel has to drop strangers from now on.
    public mutating func strangerCame(
        over transport: Transport, at now: Instant
    ) -> (end: Instant, event: AuditEvent)? {
        let limit = settings.limits.strangersPerSecond
        guard limit > 0, settings.denial.strangers == .silence, settings.mode == .enforce,
            settings.firewall.management == .guardPorts,
            let end = shield.add(transport, limit: limit, at: now)
        else { return nil }
        var event = AuditEvent(
            .shielded,
            detail: "more than \(limit) strangers a second (limits.strangers-per-second); the kernel drops them")
        event.transport = transport
        event.count = limit
        event.window = StrangerShield.duration
        return (end, event)
    }

    /// Whether the last shield has ended; true only once.
    public mutating func takeShieldEnd(at now: Instant) -> Bool { shield.takeEnd(at: now) }

    /// The table was made anew, and its counter of dropped strangers with it.
    public mutating func tableMade() { shield.tableMade() }

    /// The kernel reported a stranger's packet that it dropped.
    public mutating func noteDropped() { shield.noteTold() }

    /// The kernel's counter of dropped strangers was read.
    /// - Returns: how many packets were dropped since the last time, and how many of them were not reported.
    public mutating func dropped(total: UInt64) -> (all: Int, untold: Int) { shield.dropped(total: total) }

    // MARK: Lists

    public var denialSourceCount: Int { denials.count }

    /// The sources with a denial since then, the latest first.
    public func denialEntries(since: Instant) -> [DenialEntry] { denials.records(since: since).map { entry($0) } }

    /// The sources of denials that matter now: by denials in this episode, then by their last denial.
    public func foremostDenialEntries(limit: Int, at now: Instant) -> [DenialEntry] {
        denials.foremost(limit, activeSince: now - Self.active).map { entry($0) }
    }

    private func entry(_ record: DenialLog.Record) -> DenialEntry {
        DenialEntry(
            client: record.client, reasons: record.reasons, programs: record.programs, count: record.count,
            first: record.first, last: record.last, isQuarantined: quarantines[record.client] != nil)
    }
}

extension DenialLog.Record: CustomStringConvertible {
    /// `programs 100003 100005; reasons stranger; looks like rpcinfo`.
    var description: String {
        var parts: [String] = []
        let programs = episodePrograms.map { String($0.rawValue) }.joined(separator: " ")
        let more = episodeOverflow > 0 ? " and others" : ""
        if !programs.isEmpty || !more.isEmpty { parts.append("programs \(programs)\(more)") }
        parts.append("reasons \(reasons.map(\.rawValue).joined(separator: " "))")
        if let tool = marks.tool(programs: episodeProgramCount) { parts.append("looks like \(tool)") }
        return parts.joined(separator: "; ")
    }
}
