/// The latest report, and its changes since the one before.
public struct Observation: Sendable {
    public private(set) var report: ActivityReport?
    /// The report before, of the same run of the daemon.
    private(set) var earlier: ActivityReport?
    /// The reason why the daemon did not answer the last time.
    private(set) var failure: String?
    /// The last few intervals' calls a second, oldest first.
    private(set) var callRates: [Double] = []
    private var packetRates: [GrantLabel: Double] = [:]
    private var readings: [GrantLabel: Reading] = [:]

    private struct Reading {
        var packets: UInt64
        var at: Duration
    }

    static let callRatesMax = 60
    /// The most readings of grants that are kept; the default limit of grants.
    private static let readingsMax = 65_536

    public init() {}

    public mutating func reported(_ next: ActivityReport) {
        let isSameRun = report?.startedAt == next.startedAt && report.map { $0.uptime < next.uptime } == true
        if !isSameRun { readings = [:] }
        earlier = isSameRun ? report : nil
        report = next
        failure = nil
        measureGrants(next)
        guard let calls = rate({ $0.calls }) else { return }
        callRates = callRates.suffix(Self.callRatesMax - 1) + [calls]
    }

    /// Earlier reports stay.
    public mutating func failed(_ why: String) { failure = why }

    private mutating func measureGrants(_ next: ActivityReport) {
        packetRates = [:]
        if readings.count > Self.readingsMax { readings = [:] }
        for grant in next.grants {
            if let last = readings[grant.key], last.at < next.uptime {
                // A grant that was issued anew counts from zero.
                let packets = grant.packets >= last.packets ? grant.packets - last.packets : grant.packets
                packetRates[grant.key] = Double(packets) / (next.uptime - last.at).inSeconds
            }
            readings[grant.key] = Reading(packets: grant.packets, at: next.uptime)
        }
    }

    /// `nil` before there are two reports.
    var secondsBetween: Double? {
        guard let report, let earlier else { return nil }
        return (report.uptime - earlier.uptime).inSeconds
    }

    /// The growth of a total per second; `nil` before there are two reports.
    func rate(_ total: (ActivityReport) -> Int) -> Double? {
        guard let report, let earlier, let seconds = secondsBetween else { return nil }
        return Double(max(0, total(report) - total(earlier))) / seconds
    }

    /// The growth per second of a kernel counter, which begins anew with the table.
    func droppedRate(_ cause: String) -> Double? {
        guard let earlier, let seconds = secondsBetween, let now = report?.dropped?[cause] else { return nil }
        let before = earlier.dropped?[cause] ?? 0
        return Double(now >= before ? now - before : now) / seconds
    }

    func latency(_ which: (ActivityReport) -> LatencyReport) -> LatencyReport? {
        guard let report, let earlier else { return nil }
        return which(report).since(which(earlier))
    }

    /// `nil` if the source was not known before: it may have been crowded out of the report.
    func rate(of source: ActivityReport.Source) -> Double? {
        guard let earlier, let seconds = secondsBetween else { return nil }
        let before = earlier.sources.first { $0.client == source.client }?.count
        // All sources were in the report: this one is new.
        guard let before = before ?? (earlier.sourceCount <= earlier.sources.count ? 0 : nil) else { return nil }
        return Double(max(0, source.count - before)) / seconds
    }

    func rate(of grant: ActivityReport.Grant) -> Double? { packetRates[grant.key] }

    /// The sources with the most denials now, then the ones with the latest denials.
    var sources: [ActivityReport.Source] {
        let ranked = (report?.sources ?? []).map { (source: $0, rate: rate(of: $0) ?? 0) }
        return ranked.sorted { left, right in
            if left.rate != right.rate { return left.rate > right.rate }
            if left.source.secondsSinceLast != right.source.secondsSinceLast {
                return left.source.secondsSinceLast < right.source.secondsSinceLast
            }
            return (right.source.count, left.source.client) < (left.source.count, right.source.client)
        }.map(\.source)
    }

    /// The grants in the report, the busiest first.
    var grants: [ActivityReport.Grant] {
        (report?.grants ?? []).sorted { left, right in
            let rates = (rate(of: left) ?? 0, rate(of: right) ?? 0)
            if rates.0 != rates.1 { return rates.0 > rates.1 }
            return left.packets != right.packets ? left.packets > right.packets : left.key < right.key
        }
    }

    /// The grants to ask for next time, whatever others the report has.
    public var watched: [GrantLabel] { grants.prefix(ActivityReport.watchedMax).map(\.key) }
}

extension ActivityReport {
    /// Calls that ended.
    var calls: Int { decisions.values.reduce(0, +) }
}

extension Duration {
    var inSeconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds) + Double(attoseconds) / 1e18
    }
}
