@testable import Activity

enum Samples {
    static func report(at seconds: Int, _ change: (inout ActivityReport) -> Void = { _ in }) -> ActivityReport {
        var report = ActivityReport()
        report.version = "0.1.0"
        report.time = "2026-11-21T17:38:45Z"
        report.startedAt = "1"
        report.uptime = .seconds(seconds)
        report.isRpcbindUp = true
        report.isTableInPlace = true
        (report.guarded, report.registrations, report.quarantined) = (9, 24, 1)
        (report.connections, report.connectionsMax, report.grantsMax) = (3, 1024, 65_536)
        report.dropped = ["guarded": 0, "quarantined": 0, "shielded": 0]
        report.upstream = latency([])
        report.commits = latency([])
        change(&report)
        report.sourceCount = max(report.sourceCount, report.sources.count)
        report.grantCount = max(report.grantCount, report.grants.count)
        return report
    }

    /// A report with buckets up to 10 µs, 100 µs and 1 ms, and one above.
    static func latency(_ counts: [Int], sum: Duration = .zero) -> LatencyReport {
        let counts = counts + [Int](repeating: 0, count: 4 - counts.count)
        return LatencyReport(boundsMicroseconds: [10, 100, 1000], counts: counts, sum: sum)
    }

    static func source(_ client: String, _ count: Int, last: Int = 0, isQuarantined: Bool = false)
        -> ActivityReport.Source
    {
        var source = ActivityReport.Source()
        (source.client, source.count, source.secondsSinceLast) = (client, count, last)
        (source.reasons, source.programs) = (["stranger"], ["mountd", "nfs", "100024"])
        source.isQuarantined = isQuarantined
        return source
    }

    static func grant(
        _ client: String, _ packets: UInt64, rule: String = "policy.yaml:14 \"workstations mount NFSv3\""
    ) -> ActivityReport.Grant {
        var grant = ActivityReport.Grant()
        grant.key = GrantLabel(client: client, service: "tcp/20048")
        (grant.packets, grant.secondsLeft, grant.program, grant.rule) = (packets, 86_000, "mountd", rule)
        return grant
    }

    static func observation(_ reports: ActivityReport...) -> Observation {
        var observation = Observation()
        for report in reports { observation.reported(report) }
        return observation
    }

    /// Two seconds of a server that receives calls from clients and from strangers.
    static var busy: Observation {
        observation(
            report(at: 100_000) {
                $0.decisions = ["permitted": 1000, "denied": 12_000]
                $0.denied = ["stranger": 11_900, "no-rule": 100]
                $0.sources = [source("10.77.4.2", 11_900), source("10.77.3.2", 100, last: 4000)]
                $0.grants = [grant("10.77.1.2", 9000), grant("10.77.1.3", 123_456)]
            },
            report(at: 100_002) {
                $0.decisions = ["permitted": 1024, "denied": 12_007]
                $0.denied = ["stranger": 11_907, "no-rule": 100]
                $0.dropped = ["guarded": 80, "quarantined": 10, "shielded": 0]
                $0.sources = [
                    source("10.77.4.2", 11_907, isQuarantined: true), source("10.77.3.2", 100, last: 4002),
                ]
                $0.grants = [grant("10.77.1.3", 123_456), grant("10.77.1.2", 9250)]
                $0.upstream = latency([0, 10, 8], sum: .microseconds(1800))
                $0.commits = latency([4], sum: .microseconds(32))
            })
    }

    static func lines(_ observation: Observation, _ columns: Int, _ rows: Int, isUnicode: Bool = false) -> [String] {
        Screen(
            observation, size: Screen.Size(columns: columns, rows: rows), interval: .seconds(2), isUnicode: isUnicode,
            isLive: true
        ).lines.map(\.text)
    }
}
