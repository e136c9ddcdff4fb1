import Activity
import Addresses
import AuditTrail
import Clock
import Control
import Firewall
import Warden

extension Engine {
    /// The report that `top` shows. `top` polls it, so its cost is bounded: the kernel is asked for some grants by
    /// their keys and for the rules' counters, never for whole sets.
    func activity(_ call: ControlCall) -> ControlReply {
        let now = HostClock.now()
        let counters = warden.counters
        var report = ActivityReport()
        report.version = Version.text
        report.time = HostClock.wallClock().description
        report.startedAt = "\(startedAt.nanoseconds)"
        report.uptime = now - startedAt
        add(warden.gauges(at: now), to: &report)
        for (outcome, count) in counters.outcomes { report.decisions[outcome.decision.rawValue, default: 0] += count }
        for (reason, count) in counters.denied { report.denied[reason.rawValue] = count }
        report.duplicates = counters.duplicates
        report.upstream = LatencyReport(counters.upstreamLatency)
        report.upstreamFailures = counters.upstreamFailures
        report.commits = LatencyReport(counters.commitLatency)
        report.commitFailures = counters.commitFailures
        report.auditLost = auditLost
        report.dropped = dropsIfReadable().map {
            ["guarded": $0.guarded, "quarantined": $0.quarantined, "shielded": $0.strangers]
        }
        addSources(to: &report, at: now)
        addGrants(call, to: &report)
        return ControlReply(activity: report)
    }

    private func add(_ gauges: Gauges, to report: inout ActivityReport) {
        report.isEnforcing = gauges.isEnforcing
        report.isRpcbindUp = gauges.isRpcbindUp
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

    private func addSources(to report: inout ActivityReport, at now: Instant) {
        report.sourceCount = warden.denialSourceCount
        report.sources = warden.foremostDenialEntries(limit: ActivityReport.sourcesMax, at: now).map { entry in
            var source = ActivityReport.Source()
            source.client = "\(entry.client)"
            source.count = entry.count
            source.secondsSinceLast = Int((now - entry.last).components.seconds)
            source.reasons = entry.reasons.map(\.rawValue)
            source.programs = entry.programs.map { names.name(of: $0) ?? "\($0)" }
            source.isQuarantined = entry.isQuarantined
            return source
        }
    }

    private func addGrants(_ call: ControlCall, to report: inout ActivityReport) {
        let watched = (call.watched ?? []).prefix(ActivityReport.watchedMax).compactMap(GrantKey.init)
            .filter { warden.grant($0) != nil }
        let isAll = warden.grantCount <= ActivityReport.grantsAtOnce
        let (others, next) = warden.grantPage(
            from: call.nextGrant ?? 0, limit: ActivityReport.grantsAtOnce - (isAll ? 0 : watched.count))
        report.nextGrant = next
        do {
            let uses = try netfilter.uses(of: Array(Set(watched + others)))
            report.grants = uses.map { key, use in row(key, use) }
        } catch {
            failed("\(error)")
        }
    }

    private func row(_ key: GrantKey, _ use: GrantUse) -> ActivityReport.Grant {
        let known = warden.grant(key)
        var grant = ActivityReport.Grant()
        grant.key = GrantLabel(client: "\(key.client)", service: "\(key.service)")
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

extension GrantKey {
    /// `nil` if the label can't be parsed: it comes from the control socket's client.
    fileprivate init?(_ label: GrantLabel) {
        let words = label.service.split(separator: "/", maxSplits: 1)
        guard words.count == 2, let transport = Transport(name: String(words[0])), let port = UInt16(words[1]),
            let client = IPAddress(label.client)
        else { return nil }
        self.init(client: client, service: ServicePort(transport, port))
    }
}
