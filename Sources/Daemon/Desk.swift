import Activity
import Addresses
import AuditTrail
import Bundles
import Clock
import Control
import Firewall
import Gate
import Metrics
import Policy
import Upstream
import Warden
import Watch

/// The replies to the control socket, made of the Warden's state and the kernel's replies.
struct Desk: Sendable {
    let names: ProgramNames

    func status(
        _ snapshot: MetricsSnapshot, _ warden: borrowing Warden, uptime: Duration, isTableIntact: Bool
    ) -> StatusReport {
        let (counters, gauges) = (snapshot.counters, snapshot.gauges)
        var counts = [
            "calls": counters.calls, "permitted": counters.permitted, "malformed": counters.malformed,
            "duplicates": counters.duplicates, "granted": counters.granted, "renewed": counters.renewed,
            "expired": counters.expired, "revoked": counters.revoked, "commits": counters.commits,
            "commit_failures": counters.commitFailures, "grants": gauges.grants,
            "connections": gauges.connections, "connections_crowded_out": counters.crowdedOut,
            "audit_suppressed": counters.suppressed, "audit_lost": snapshot.auditLost,
            "denied": counters.denied.values.reduce(0, +),
            "observed": counters.outcomes.reduce(0) { $0 + ($1.key.decision == .observed ? $1.value : 0) },
        ]
        for (reason, count) in counters.denied { counts["denied_" + reason.countName] = count }
        let settings = warden.settings
        var report = StatusReport(
            mode: settings.mode.rawValue, uptime: Int(uptime.components.seconds), version: snapshot.version,
            rpcbind: .init(
                reachable: gauges.isRpcbindUp == true, registrations: gauges.registrations,
                needed: gauges.needsRpcbind ? nil : false),
            table: .init(name: settings.firewall.table, intact: isTableIntact, guarded: gauges.guarded),
            policy: .init(path: settings.policyPlace, rules: warden.policies.ruleCount), counts: counts)
        guard settings.gateway != nil else { return report }
        report.servers = gauges.servers.map {
            ServerReport(
                name: $0.name, rpcbind: $0.portmapper.rawValue, registrations: $0.registrations, guarded: $0.guarded,
                grants: $0.grants, since: $0.since?.description)
        }
        return report
    }

    /// - Parameters:
    ///   - standing: `nil`: this host needs no sidecar.
    ///   - gauges: of grants and quarantines of other nodes.
    func fleet(
        _ bundle: AcceptedBundle?, _ standing: FleetStanding?, _ gauges: FleetGauges, at time: Timestamp
    ) -> FleetReport? {
        guard bundle != nil || standing != nil else { return nil }
        var report = FleetReport()
        report.fleet = bundle?.fleet ?? standing?.fleet
        if let standing {
            report.node = standing.node
            report.connected = standing.isConnected
            report.since = standing.store?.since.description
            report.queue = standing.store?.queue
            report.nameShared = standing.store?.isNameShared == true ? true : nil
            report.foreignGrants = gauges.grants
            report.waitingGrants = gauges.waiting
            report.foreignQuarantines = gauges.quarantines
        }
        guard let bundle else { return report }
        report.group = bundle.group
        report.serial = bundle.serial
        report.created = bundle.created.description
        report.notAfter = bundle.notAfter?.description
        report.expired = bundle.hasExpired(at: time)
        return report
    }

    /// The lines of `release`.
    ///
    /// - Parameter isShared: other nodes may have taken the quarantine over, and a missing key tells them nothing.
    func release(of client: IPAddress, _ wasQuarantined: Bool, isShared: Bool) -> [String] {
        let what = wasQuarantined ? "released: \(client)" : "\(client) is not quarantined"
        guard isShared else { return [what] }
        return [what, "this node only; at every node: rpcwarden-fleet order release --client \(client) --key FILE"]
    }

    func grant(
        _ key: GrantKey, _ use: GrantUse, _ known: Grant?, at server: String?, now: Timestamp
    ) -> GrantRow {
        let program = known?.programs.least
        var row = GrantRow(
            client: "\(key.client)", transport: "\(key.service.transport)", port: key.service.port,
            program: program?.rawValue, programName: program.flatMap { names.name(of: $0) }, rule: known?.rule,
            issued: known?.issued.description, expires: (now + use.expiresIn).description, packets: use.packets)
        row.server = server
        return row
    }

    /// - Parameter isAlive: whether a socket listens there.
    func registration(_ entry: Upstream.Entry, at server: String?, isAlive: Bool) -> RegistryRow {
        var row = RegistryRow(
            program: entry.program.rawValue, programName: names.name(of: entry.program), version: entry.version,
            netid: entry.netID, address: entry.address, owner: entry.owner, trusted: entry.isTrusted, alive: isAlive,
            guarded: entry.isGuarded, orphaned: entry.isOrphaned, guardable: entry.isGuardable)
        if !entry.sharesPortWith.isEmpty { row.sharesPortWith = entry.sharesPortWith.map(\.rawValue) }
        row.server = server
        return row
    }

    func denial(_ entry: Watch.DenialEntry, _ wallClock: (Instant) -> Timestamp) -> DenialRow {
        DenialRow(
            client: "\(entry.client)", reasons: entry.reasons.map(\.rawValue),
            programs: entry.programs.map(\.rawValue), count: entry.count,
            first: wallClock(entry.first).description, last: wallClock(entry.last).description,
            quarantined: entry.isQuarantined)
    }

    /// - Parameter name: the name of the server that has this address; `nil`: this host.
    func changes(_ revocation: Revocation, _ name: @escaping (ServerID) -> String?) -> [String] {
        let place = { (service: ServicePort) in name(service.server).map { " at \($0)" } ?? "" }
        return revocation.grants.map { "revoked: \($0.client) \($0.service)\(place($0.service))" }
            + revocation.admissions.map { stillAdmitted($0, place($0.service)) }
    }

    private func stillAdmitted(_ admission: Revocation.Admission, _ place: String) -> String {
        let number = admission.program.rawValue
        let program = names.name(of: admission.program).map { "\($0) (\(number))" } ?? String(number)
        return "still admitted: \(program) at \(admission.service)\(place), by \(admission.rule), open: always"
    }

    /// The report that `top` shows.
    func activity(
        _ snapshot: MetricsSnapshot, _ sources: [Watch.DenialEntry], sourceCount: Int, at now: Instant,
        startedAt: Instant, wallClock: Timestamp
    ) -> ActivityReport {
        let counters = snapshot.counters
        var report = ActivityReport()
        report.version = snapshot.version
        report.time = wallClock.description
        report.startedAt = "\(startedAt.nanoseconds)"
        report.uptime = now - startedAt
        add(snapshot.gauges, to: &report)
        for (outcome, count) in counters.outcomes { report.decisions[outcome.decision.rawValue, default: 0] += count }
        for (reason, count) in counters.denied { report.denied[reason.rawValue] = count }
        report.duplicates = counters.duplicates
        report.upstream = LatencyReport(counters.upstreamLatency)
        report.upstreamFailures = counters.upstreamFailures
        report.commits = LatencyReport(counters.commitLatency)
        report.commitFailures = counters.commitFailures
        report.auditLost = snapshot.auditLost
        report.dropped = snapshot.drops.map {
            ["guarded": $0.guarded, "quarantined": $0.quarantined, "shielded": $0.strangers]
        }
        report.sourceCount = sourceCount
        report.sources = sources.map { source($0, at: now) }
        return report
    }

    private func add(_ gauges: Gauges, to report: inout ActivityReport) {
        report.isEnforcing = gauges.isEnforcing
        report.isRpcbindUp = gauges.isRpcbindUp
        report.needsRpcbind = gauges.needsRpcbind
        report.registrations = gauges.registrations
        report.isTableInPlace = gauges.isTableInPlace
        report.guarded = gauges.guarded
        report.quarantined = gauges.quarantined
        report.shielded = gauges.shielded.map { "\($0)" }.sorted()
        report.connections = gauges.connections
        report.connectionsMax = gauges.connectionsMax
        report.grantCount = gauges.grants
        report.grantsMax = gauges.grantsMax
    }

    private func source(_ entry: Watch.DenialEntry, at now: Instant) -> ActivityReport.Source {
        var source = ActivityReport.Source()
        source.client = "\(entry.client)"
        source.count = entry.count
        source.secondsSinceLast = Int((now - entry.last).components.seconds)
        source.reasons = entry.reasons.map(\.rawValue)
        source.programs = entry.programs.map { names.name(of: $0) ?? "\($0)" }
        source.isQuarantined = entry.isQuarantined
        return source
    }

    func activeGrant(
        _ key: GrantKey, _ use: GrantUse, _ known: Grant?, at server: String?
    ) -> ActivityReport.Grant {
        var grant = ActivityReport.Grant()
        grant.key = GrantLabel(client: "\(key.client)", service: "\(key.service)")
        if let server { (grant.key.server, grant.key.serverID) = (server, key.service.server.rawValue) }
        grant.packets = use.packets
        grant.secondsLeft = Int(use.expiresIn.components.seconds)
        grant.program = (known?.programs.least).map { names.name(of: $0) ?? "\($0)" } ?? ""
        grant.rule = known?.rule ?? ""
        return grant
    }
}

extension LatencyReport {
    fileprivate init(_ histogram: LatencyHistogram) {
        self.init(
            boundsMicroseconds: LatencyHistogram.boundsMicroseconds, counts: histogram.counts, sum: histogram.sum)
    }
}

extension DenialReason {
    fileprivate var countName: String { rawValue.split(separator: "-").joined(separator: "_") }
}
