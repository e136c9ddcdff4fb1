import Addresses
import AuditTrail
import Clock

/// Counts the events of audit logs, one after the other.
///
/// What it keeps is bounded: rows, items, hosts and hours each have a number that they don't exceed, whatever the log
/// says and however long it is. What finds no room is counted all the same.
public struct Tally {
    /// How much is kept of each kind.
    public struct Limits: Sendable {
        public var rowsMax = 16_384
        public var itemsMax = 1000
        public var namesMax = 1024

        public init() {}
    }

    /// A host without a line for longer than this has a gap in its record.
    public static let silence: Duration = .seconds(86_400)
    /// A daemon that was stopped for longer than this has one, too.
    public static let pause: Duration = .seconds(60)

    /// Events before this time only tell in which state the hosts were.
    public let since: Timestamp?

    var linesRead = 0
    var linesSkipped = 0
    var linesOlder = 0
    var period: Period?
    var events: [AuditEvent.Kind: Int] = [:]
    /// Of the denials, those that observe mode let pass.
    var observedDenials = 0
    var reasons: [DenialReason?: Int] = [:]
    var suppressed: [String: Int] = [:]
    var suppressedCount = 0
    var hostNames: NameBook
    var servers: NameBook
    var programNames: [Program: String] = [:]
    /// By their places.
    var hosts: [Int: HostTally] = [:]
    var timeline = Timeline()
    var liveGrants = LiveGrants()

    var lookups: BoundedTable
    var denials: BoundedTable
    var probes: BoundedTable
    var enumerations: BoundedTable
    var rules: BoundedTable

    var modes: BoundedList<ModeItem>
    var quarantines: BoundedList<QuarantineItem>
    var tampering: BoundedList<TamperingItem>
    var reloads: BoundedList<ReloadItem>
    var restarts: BoundedList<RestartItem>
    var gaps: BoundedList<GapItem>
    /// The gaps by lines that were not written; a flood has many, which must not crowd out the others.
    var suppressions: BoundedList<GapItem>

    private let limits: Limits

    public init(since: Timestamp? = nil, limits: Limits = Limits()) {
        self.since = since
        self.limits = limits
        hostNames = NameBook(namesMax: limits.namesMax)
        servers = NameBook(namesMax: limits.namesMax)
        lookups = BoundedTable(rowsMax: limits.rowsMax)
        denials = BoundedTable(rowsMax: limits.rowsMax)
        probes = BoundedTable(rowsMax: limits.rowsMax)
        enumerations = BoundedTable(rowsMax: limits.rowsMax / 4)
        rules = BoundedTable(rowsMax: limits.rowsMax / 4)
        modes = BoundedList(itemsMax: limits.itemsMax)
        quarantines = BoundedList(itemsMax: limits.itemsMax)
        tampering = BoundedList(itemsMax: limits.itemsMax)
        reloads = BoundedList(itemsMax: limits.itemsMax)
        restarts = BoundedList(itemsMax: limits.itemsMax)
        gaps = BoundedList(itemsMax: limits.itemsMax)
        suppressions = BoundedList(itemsMax: limits.itemsMax)
    }

    /// A line that is no audit event.
    public mutating func skipLine() { linesSkipped += 1 }

    public var eventCount: Int { linesRead }

    /// - Parameter source: the host's name where the line has none: the name of its file.
    public mutating func note(_ logged: LoggedEvent, source: String) {
        let host = hostNames.place(of: logged.host ?? source)
        let (event, time) = (logged.event, logged.time)
        if let since, time < since {
            linesOlder += 1
            follow(event, at: time, host, isTold: false)
            followGrant(event, host)
            return
        }
        linesRead += 1
        events[event.kind, default: 0] += 1
        if period == nil { period = Period(time) } else { period? += Period(time) }
        if let program = event.program, let name = event.programName { note(name, of: program) }
        follow(event, at: time, host, isTold: true)
        count(event, at: time, host)
    }

    private mutating func note(_ name: String, of program: Program) {
        guard programNames[program] == nil, programNames.count < limits.rowsMax / 4 else { return }
        programNames[program] = name.cut(NameBook.bytesMax)
    }

    // MARK: What happened to the record and to the daemon

    private mutating func follow(_ event: AuditEvent, at time: Timestamp, _ host: Int, isTold: Bool) {
        var record = hosts[host] ?? HostTally(at: time)
        let isNew = record.lines == 0
        if isTold, !isNew { noteSilence(before: event, at: time, host, record) }
        if event.kind == .started { noteStart(event, at: time, host, isTold: isTold, record) }
        if let mode = Mode(of: event), mode != record.mode {
            // The first line after the beginning of the span tells the mode that was in force then.
            if isTold { modes.append(ModeItem(host: host, at: time, mode: mode)) }
            record.mode = mode
        }
        switch event.kind {
        case .started: (record.state, record.hasStart) = (.running, true)
        case .stopped: record.state = .stopped(time)
        case _: if record.state == .unknown { record.state = .running }
        }
        if event.kind == .permitted { record.permitted += 1 }
        // Another node's client made its call there.
        if isTold, event.kind == .granted, event.rule?.contains(" (from ") != true { record.granted += 1 }
        if isTold { noteTable(event, at: time, host, &record) }
        if isTold, event.kind == .suppressed { noteSuppressed(event, at: time, host, &record) }
        record.lines += 1
        record.first = min(record.first, time)
        record.last = max(record.last, time)
        // The state of hosts without a place of their own would be a mixture.
        if host < hostNames.others { hosts[host] = record }
    }

    private mutating func noteSilence(before event: AuditEvent, at time: Timestamp, _ host: Int, _ record: HostTally) {
        guard event.kind != .started, record.state == .running, time > record.last + Self.silence else { return }
        gaps.append(GapItem(host: host, from: record.last, to: time, cause: .silence))
    }

    private mutating func noteStart(
        _ event: AuditEvent, at time: Timestamp, _ host: Int, isTold: Bool, _ record: HostTally
    ) {
        guard isTold, host < hostNames.others else { return }
        var stopped: Timestamp?
        switch record.state {
        case .unknown: break
        case .running where record.mayBeginStart(endingAt: time): break
        case .running:
            // The clock may have been set back meanwhile.
            gaps.append(GapItem(host: host, from: record.last, to: max(time, record.last), cause: .crash))
        case .stopped(let end):
            stopped = end
            if time > end + Self.pause { gaps.append(GapItem(host: host, from: end, to: time, cause: .stopped)) }
        }
        restarts.append(RestartItem(host: host, stopped: stopped, started: time, detail: event.detailCut))
    }

    private mutating func noteTable(_ event: AuditEvent, at time: Timestamp, _ host: Int, _ record: inout HostTally) {
        switch event.kind {
        case .tampered:
            if let place = record.openTampering {
                tampering.change(place) { $0.changes = $0.changes.addingSaturated(event.count ?? 1) }
            } else {
                record.openTampering = tampering.append(
                    TamperingItem(
                        host: host, from: time, to: nil, changes: event.count ?? 1, detail: event.detailCut))
            }
        // A start makes the table anew as well.
        case .restored, .started:
            guard let place = record.openTampering else { return }
            tampering.change(place) { $0.to = max(time, $0.from) }
            record.openTampering = nil
        case _: break
        }
    }

    private mutating func noteSuppressed(
        _ event: AuditEvent, at time: Timestamp, _ host: Int, _ record: inout HostTally
    ) {
        let count = event.count ?? 1
        suppressedCount = suppressedCount.addingSaturated(count)
        let kind = event.detail.flatMap(AuditEvent.Kind.init(rawValue:))?.rawValue ?? Self.unwritten
        suppressed[kind, default: 0] = (suppressed[kind] ?? 0).addingSaturated(count)
        let from = time + (.zero - (event.window ?? .zero))
        if let place = record.openSuppression, let end = suppressions.items[place].to, from <= end + Self.pause,
            case .suppressed(let sum) = suppressions.items[place].cause
        {
            suppressions.change(place) {
                $0.to = max(time, end)
                $0.cause = .suppressed(sum.addingSaturated(count))
            }
        } else {
            record.openSuppression = suppressions.append(
                GapItem(host: host, from: from, to: time, cause: .suppressed(count)))
        }
    }

    /// The lines of all kinds that the log had no room for.
    static let unwritten = "lines that could not be written"

    // MARK: What is counted

    private mutating func count(_ event: AuditEvent, at time: Timestamp, _ host: Int) {
        switch event.kind {
        case .permitted:
            timeline.note(at: time) { $0.permitted += 1 }
            addUse(event, Row(count: 1, at: time), host)
        case .denied: countDenial(event, at: time, host)
        case .granted, .renewed, .expired, .revoked: countGrant(event, at: time, host)
        case .probed:
            timeline.note(at: time) { $0.probes += 1 }
            let port = event.detail.flatMap(ServicePort.init(logged:))
            var row = Row(count: 1, at: time)
            row.observed = event.isEnforced ? 0 : 1
            probes.add(row, to: RowKey(client: event.client, program: event.program, host: host, port: port))
        case .enumeration:
            var row = Row(count: 1, others: event.count ?? 0, at: time)
            row.detail = event.detailCut
            enumerations.add(row, to: RowKey(client: event.client, host: host, word: event.tool))
        case .quarantined:
            quarantines.append(
                QuarantineItem(
                    source: event.client, host: host, at: time, duration: event.window, detail: event.detailCut,
                    isEnforced: event.isEnforced))
        case .reloaded, .reloadRefused, .policyAccepted, .policyRefused:
            reloads.append(ReloadItem(host: host, at: time, kind: event.kind, detail: event.detailCut))
        case .malformed, .released, .registered, .unregistered, .untrustedRegistration, .staleRegistration, .tampered,
            .restored, .rpcbindDown, .rpcbindUp, .started, .stopped, .suppressed, .shielded, .orphaned, .unguardable,
            .policyExpired, .fleetConnected, .fleetLost:
            break
        }
    }

    private mutating func countDenial(_ event: AuditEvent, at time: Timestamp, _ host: Int) {
        let place = event.reason.flatMap(DenialReason.allCases.firstIndex) ?? DenialReason.allCases.count
        timeline.note(at: time) { $0.denials[place] += 1 }
        reasons[event.reason, default: 0] += 1
        if !event.isEnforced { observedDenials += 1 }
        var row = Row(count: 1, at: time)
        row.observed = event.isEnforced ? 0 : 1
        if let program = event.program { row.programs.insert(program) }
        denials.add(row, to: RowKey(client: event.client, host: host, reason: event.reason))
    }

    private mutating func countGrant(_ event: AuditEvent, at time: Timestamp, _ host: Int) {
        let key = grantKey(event, host)
        if event.beginsGrant {
            if liveGrants.began(key) { timeline.note(at: time) { $0.grantsChange += 1 } }
            addUse(event, Row(others: 1, at: time), host)
        } else if event.kind != .renewed, liveGrants.ended(key) {
            timeline.note(at: time) { $0.grantsChange -= 1 }
        }
    }

    /// Before the told time: what still lives when it begins is alive then.
    private mutating func followGrant(_ event: AuditEvent, _ host: Int) {
        if event.beginsGrant {
            liveGrants.beganEarlier(grantKey(event, host))
        } else if event.kind == .expired || event.kind == .revoked {
            liveGrants.endedEarlier(grantKey(event, host))
        }
    }

    private mutating func grantKey(_ event: AuditEvent, _ host: Int) -> LiveGrants.Key {
        let server = event.server.map { servers.place(of: $0) }
        return LiveGrants.Key(host: host, server: server, client: event.client, port: event.granted)
    }

    /// Of a program, and of a rule.
    private mutating func addUse(_ event: AuditEvent, _ row: Row, _ host: Int) {
        if let rule = event.rule { rules.add(row, to: RowKey(word: rule.cut(AuditEvent.detailBytesMax))) }
        var row = row
        row.hosts = 1 << min(UInt64(host), Row.hostsShownMax)
        let server = event.server.map { servers.place(of: $0) }
        lookups.add(row, to: RowKey(client: event.client, program: event.program, server: server))
    }

    /// The log has ended: a host that was stopped then still has a gap.
    mutating func end() {
        guard let end = period?.last else { return }
        for host in hostNames.names.indices {
            guard case .stopped(let time)? = hosts[host]?.state, end > time + Self.pause,
                since.map({ time >= $0 }) ?? true
            else { continue }
            gaps.append(GapItem(host: host, from: time, to: nil, cause: .stopped))
        }
    }
}

extension AuditEvent {
    static let detailBytesMax = 256

    fileprivate var beginsGrant: Bool { kind == .granted || kind == .renewed && detail == "revived" }

    fileprivate var detailCut: String { detail?.cut(Self.detailBytesMax) ?? "" }

    /// The tool that an enumeration looks like: the end of its detail.
    fileprivate var tool: String? {
        guard kind == .enumeration, let detail, let start = detail.ranges(of: "looks like ").last?.upperBound else {
            return nil
        }
        return String(detail[start...]).cut(NameBook.bytesMax)
    }
}

extension Int {
    /// Numbers in a log may be anything.
    func addingSaturated(_ other: Int) -> Int {
        let (sum, overflows) = addingReportingOverflow(other)
        return overflows ? .max : sum
    }
}
