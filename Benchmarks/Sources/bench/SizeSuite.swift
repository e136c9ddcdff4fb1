import Foundation

/// Memory, size of the binary, and durations of starts and reloads.
enum SizeSuite {
    static let name = "size"

    static let grants = 65_536
    static let prefixes = 10_000

    static func measure(_ bench: Bench) throws -> SuiteResult {
        let site = try Site.guarded(bench)
        var figures = [try binary(bench), try memory("idle, 20 programs", site).atMost(20, "all (PSS)")]
        figures.append(try starts("start to READY, 10 prefixes", site, Setting(morePrefixes: 10)))
        figures.append(
            try starts("start to READY, 10,000 prefixes", site, Setting(morePrefixes: prefixes)).atMost(50, "time"))
        figures += try reloads(site)
        try site.stop()
        try site.serve(Setting(morePrefixes: prefixes))
        // The client of the reloads already has a grant.
        _ = try GrantSuite.load(site, LoadRun(calls: grants - 1, sources: "10.78.0.0/\(grants - 1)"))
        figures.append(try memory("65,536 grants, 10,000 prefixes", site).atMost(40, "all (PSS)"))
        figures.append(try adoption(site))
        try site.end()
        return SuiteResult(figures: figures)
    }

    private static func binary(_ bench: Bench) throws -> Figure {
        let file = FileManager.default.temporaryFile()
        defer { file.remove() }
        try execute(["strip", "-o", file.path, bench.binary])
        let attributes = try FileManager.default.attributesOfItem(atPath: file.path)
        let bytes = (attributes[.size] as? NSNumber)?.doubleValue ?? .nan
        return Figure(name, "the binary, stripped", [.init("size", .megabytes, bytes / 1e6)]).atMost(25, "size")
    }

    static func memory(_ what: String, _ site: Site) throws -> Figure {
        let pids = family(of: try site.lab.pid("rpcwarden"))
        return Figure(
            name, what,
            [
                .init("rpcwarden (RSS)", .megabytes, residentBytes(pids[0]) / 1e6),
                .init("the other two (RSS)", .megabytes, pids.dropFirst().map(residentBytes).reduce(0, +) / 1e6),
                .init("all (PSS)", .megabytes, pids.map(ownBytes).reduce(0, +) / 1e6),
                .init("rpcbind (RSS)", .megabytes, residentBytes(try site.lab.pid("rpcbind")) / 1e6),
            ])
    }

    private static func starts(_ what: String, _ site: Site, _ setting: Setting) throws -> Figure {
        let times = try (0..<site.bench.rounds).map { _ in
            try site.stop()
            try site.lab.serverRuns(["nft", "delete table inet rpcwarden"])
            return try site.serve(setting)
        }
        return Figure(name, what, [.init("time", .milliseconds, times)])
    }

    private static func adoption(_ site: Site) throws -> Figure {
        let times = try (0..<min(site.bench.rounds, 3)).map { _ in
            try site.stop()
            return try site.start()
        }
        let adopted = try site.counts()["grants"] ?? 0
        guard adopted == grants else { throw Unfulfilled(description: "\(adopted) grants were adopted") }
        return Figure(name, "start to READY, adopting 65,536 grants", [.init("time", .milliseconds, times)])
            .atMost(1000, "time")
    }

    /// Reloads while one client calls continuously: the duration of a reload, and the longest wait of a lookup.
    private static func reloads(_ site: Site) throws -> [Figure] {
        let standing = Setting(morePrefixes: prefixes, areStanding: true)
        let few = Setting(morePrefixes: prefixes, otherPrefixes: 10, areStanding: true)
        let all = Setting(morePrefixes: prefixes, otherPrefixes: prefixes, areStanding: true)
        return [
            try reload(
                "reload of 10,000 prefixes, 10 exchanged", site, from: Setting(morePrefixes: prefixes),
                to: Setting(morePrefixes: prefixes, otherPrefixes: 10)
            ),
            try reload("the same with `open: always`", site, from: standing, to: few),
            try reload("the same, all exchanged", site, from: standing, to: all),
        ].enumerated().flatMap { number, times in
            let figure = Figure(
                name, times.name,
                [.init("time", .milliseconds, times.reloads), .init("longest lookup", .milliseconds, times.waits)])
            return number == 0
                ? [
                    figure.atMost(200, "time"),
                    Figure(name, "lookups meanwhile", [.init("longest lookup", .milliseconds, times.waits)])
                        .atMost(5, "longest lookup"),
                    Figure(
                        name, "lookups while nothing is reloaded",
                        [.init("longest lookup", .milliseconds, times.calmWaits)]),
                ] : [figure]
        }
    }

    private struct ReloadTimes {
        var name: String
        var reloads: [Double] = []
        var waits: [Double] = []
        /// The longest wait in an equal time just before the reload.
        var calmWaits: [Double] = []
    }

    private static func reload(
        _ what: String, _ site: Site, from first: Setting, to second: Setting
    ) throws -> ReloadTimes {
        try site.stop()
        try site.serve(first)
        // The standing elements are made after the first reading of the registry.
        usleep(1_500_000)
        var times = ReloadTimes(name: what)
        for round in 0..<min(site.bench.rounds, 4) {
            let setting = round.isMultiple(of: 2) ? second : first
            try site.lab.write(site.policy(setting), to: "policy.yaml")
            times.calmWaits.append(try longestWait(site) { usleep(100_000) })
            times.waits.append(try longestWait(site) { times.reloads.append(try hangUp(site)) })
        }
        return times
    }

    /// In milliseconds.
    private static func longestWait(_ site: Site, during body: () throws -> Void) throws -> Double {
        let asking = try site.bench.start(
            LoadRun(inFlight: 1, seconds: 60, patienceMilliseconds: 60_000), .getPort([.mountd]), from: site.lab)
        usleep(200_000)
        try body()
        // A call that waits at the end of the reload is answered soon.
        usleep(200_000)
        return try asking.end().max / 1e6
    }

    /// Milliseconds from SIGHUP to the audit event of the reload.
    private static func hangUp(_ site: Site) throws -> Double {
        // The log's present contents are skipped: reading them would take longer than the reload, on a processor
        // that the reload needs.
        let log = try FileHandle(forReadingFrom: URL(fileURLWithPath: "\(site.lab.state)/audit.jsonl"))
        try log.seekToEnd()
        var told = ""
        let began = Date()
        kill(try site.lab.pid("rpcwarden"), SIGHUP)
        try eventually("the reload is told") {
            told += String(decoding: try log.readToEnd() ?? Data(), as: UTF8.self)
            return told.contains("\"event\":\"reload")
        }
        return Date().timeIntervalSince(began) * 1000
    }
}

/// The memory that the host would get back if the process ended; shared pages count in proportion (PSS).
func ownBytes(_ pid: Int32) -> Double {
    let line = contents("/proc/\(pid)/smaps_rollup").split(separator: "\n").first { $0.hasPrefix("Pss:") } ?? ""
    return 1024 * (line.split(separator: " ").dropFirst().first.flatMap { Double($0) } ?? 0)
}
