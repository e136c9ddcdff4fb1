import Addresses
import AuditTrail
import Calls
import Clock
import Configuration
import ONCRPC
import Policy

extension Warden {
    /// A call was denied or malformed: remembers it, and judges its source.
    mutating func noteDenial(
        _ incoming: IncomingCall, _ reason: DenialReason?, isOwnDoing: Bool = true, at now: Instant,
        into actions: inout [Action]
    ) {
        let peer = incoming.peer
        guard !peer.isLocal else { return }
        let isListed = policy.lists(peer.address)
        let finding = denials.add(
            incoming, reason, isOwnDoing: isOwnDoing, isListed: isListed,
            within: settings.quarantine?.within ?? Self.episode, at: now,
            wallClock: wallClock(at: now))
        let source = DenialLog.Source(peer.address, isListed: isListed)
        if finding.isSuspectedNow { suspect(source, at: now) }
        guard let quarantine = settings.quarantine, quarantines[peer.address] == nil else { return }
        // A UDP call in a named client's name may be forged.
        guard (isListed ? finding.overTCP : finding.inAll) >= quarantine.after else { return }
        if isListed && !quarantine.includesListed {
            warnOnce(source, at: now, into: &actions)
        } else {
            quarantineNow(peer, source, quarantine, at: now, into: &actions)
        }
    }

    private mutating func suspect(_ source: DenialLog.Source, at now: Instant) {
        guard suspects.count < Self.suspectsMax else { return denials.unsuspect(source) }
        suspects.insert(source, at: now + Self.watch)
    }

    /// Suspects that wait for their report at once; there are no more reports than lines for them.
    private static let suspectsMax = 1024
    /// How long a suspect is watched before it is reported: one event tells all its calls.
    static let watch: Duration = .seconds(3)
    /// The time within which denials belong together, if no quarantine setting says so.
    private static let episode: Duration = .seconds(60)

    /// Reports the suspects that were watched for long enough, and releases the clients that have served their
    /// quarantine.
    mutating func lookAfterSources(at now: Instant, into actions: inout [Action]) {
        while let (source, at) = suspects.popFirst(until: now) {
            guard let record = denials[source], record.suspectedAt.map({ $0 + Self.watch }) == at else { continue }
            // The calls that looked like showmount were a mount after all.
            guard record.looksLikeEnumeration else {
                denials.unsuspect(source)
                continue
            }
            report(source, record, at: now, into: &actions)
        }
        for client in quarantines.takeDue(at: now) {
            writer.release(client)
            denials.forgive(DenialLog.Source(client, isListed: policy.lists(client)))
            auditRelease(of: client, "its time is up", at: now, into: &actions)
        }
    }

    private mutating func report(
        _ source: DenialLog.Source, _ record: DenialLog.Record, at now: Instant, into actions: inout [Action]
    ) {
        guard !record.isReported else { return }
        denials.noteReported(source)
        var event = AuditEvent(.enumeration)
        event.client = record.client
        event.transport = record.episodeTransport
        event.count = record.episodeCount
        event.window = now - (record.suspectedAt ?? now)
        event.isEnforced = settings.mode == .enforce
        event.detail = Self.describe(record)
        audit(event, at: now, into: &actions)
    }

    /// `programs 100003 100005; reasons stranger; looks like rpcinfo`.
    private static func describe(_ record: DenialLog.Record) -> String {
        var parts: [String] = []
        let programs = record.episodePrograms.map { String($0.rawValue) }.joined(separator: " ")
        let more = record.episodeOverflow > 0 ? " and others" : ""
        if !programs.isEmpty || !more.isEmpty { parts.append("programs \(programs)\(more)") }
        parts.append("reasons \(record.reasons.map(\.rawValue).joined(separator: " "))")
        if let tool = record.marks.tool(programs: record.episodeProgramCount) { parts.append("looks like \(tool)") }
        return parts.joined(separator: "; ")
    }

    /// Warns about a client that a rule names, once in a while; it is not quarantined.
    private mutating func warnOnce(_ source: DenialLog.Source, at now: Instant, into actions: inout [Action]) {
        guard let record = denials[source] else { return }
        denials.forgive(source)
        var event = AuditEvent(.enumeration)
        event.client = record.client
        event.transport = .tcp
        event.count = record.episodeCount
        event.isEnforced = settings.mode == .enforce
        event.detail = "not quarantined: a rule names it; " + Self.describe(record)
        audit(event, at: now, into: &actions)
    }

    private mutating func quarantineNow(
        _ peer: Peer, _ source: DenialLog.Source, _ quarantine: Settings.Quarantine, at now: Instant,
        into actions: inout [Action]
    ) {
        let end = now + quarantine.lasts
        guard denials.noteQuarantined(source), quarantines.add(peer.address, until: end) else { return }
        writer.quarantine(peer.address, until: end)
        if let record = denials[source], record.suspectedAt != nil { report(source, record, at: now, into: &actions) }
        var event = AuditEvent(.quarantined)
        event.client = peer.address
        event.transport = peer.transport
        event.count = denials[source]?.episodeCount
        event.window = quarantine.lasts
        event.isEnforced = settings.mode == .enforce
        event.detail = "at least \(quarantine.after) denials within \(quarantine.within)"
        audit(event, at: now, into: &actions)
    }

    private mutating func auditRelease(
        of client: IPAddress, _ cause: String, at now: Instant, into actions: inout [Action]
    ) {
        var event = AuditEvent(.released, detail: cause)
        event.client = client
        audit(event, at: now, into: &actions)
    }

    /// An operator lifts a quarantine.
    /// - Returns: whether there was one.
    public mutating func release(client: IPAddress, at now: Instant, into actions: inout [Action]) -> Bool {
        denials.forgive(DenialLog.Source(client, isListed: policy.lists(client)))
        guard quarantines.remove(client) else { return false }
        writer.release(client)
        auditRelease(of: client, "by the operator", at: now, into: &actions)
        flush(at: now, into: &actions)
        return true
    }

    /// Clients that are never quarantined, by settings and policy.
    func isExempt(_ client: IPAddress) -> Bool {
        guard let quarantine = settings.quarantine else { return true }
        return policy.lists(client) && !quarantine.includesListed
    }

    /// Releases clients that a new policy names or new settings don't quarantine.
    mutating func releaseUnfit(at now: Instant, into actions: inout [Action]) {
        for client in quarantines.clients.keys.sorted() {
            guard isExempt(client), quarantines.remove(client) else { continue }
            writer.release(client)
            auditRelease(
                of: client, settings.quarantine == nil ? "quarantine is off" : "a rule names it", at: now,
                into: &actions)
        }
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

    /// The sources with a denial since then, the latest first.
    public func denialEntries(since: Instant) -> [DenialEntry] {
        denials.records(since: since).map(entry)
    }

    func entry(_ record: DenialLog.Record) -> DenialEntry {
        DenialEntry(
            client: record.client, reasons: record.reasons, programs: record.programs, count: record.count,
            first: record.first, last: record.last, isQuarantined: quarantines[record.client] != nil)
    }
}
