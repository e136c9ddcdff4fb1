import Foundation

/// The growth of throughput, memory and times with clients, grants, prefixes and registrations.
enum GrowthSuite {
    static let name = "growth"

    private typealias Points = [[Double]]

    static func measure(_ bench: Bench) throws -> SuiteResult {
        let plots = [
            try overClients(bench), try overGrants(bench), try overPrefixes(bench), try overRegistrations(bench),
        ]
        return SuiteResult(figures: plots.flatMap(figures), plots: plots)
    }

    /// The plot's values as a table.
    private static func figures(_ plot: Plot) -> [Figure] {
        var values: [Int: [Figure.Cell]] = [:]
        for panel in plot.panels {
            for line in panel.lines {
                let column = panel.lines.count > 1 ? "\(panel.title): \(line.name)" : panel.title
                for point in line.points {
                    values[Int(point[0]), default: []].append(.init(column, panel.unit, point[1]))
                }
            }
        }
        return values.keys.sorted().map { Figure("growth over \(plot.axis)", "\($0) \(plot.axis)", values[$0] ?? []) }
    }

    private static func median(_ bench: Bench, _ sample: () throws -> Double) rethrows -> Double {
        Spread(try (0..<min(bench.rounds, 5)).map { _ in try sample() }).median
    }

    // MARK: Clients

    private static func overClients(_ bench: Bench) throws -> Plot {
        let sites = try Sites(bench)
        var lines: [Contender: Points] = [:]
        for count in [1, 10, 100, 1000, 10_000] {
            let run = LoadRun(seconds: 0.3, sources: "10.78.0.1/\(count)")
            // Each client gets its grant beforehand.
            _ = try sites.load(.rpcwarden, LoadRun(calls: count, sources: run.sources), .getPort([.mountd]))
            for contender in [Contender.direct, .rpcwarden] {
                let rate = try median(bench) { try sites.load(contender, run, .getPort([.mountd])).rate }
                lines[contender, default: []].append([Double(count), rate])
            }
        }
        try sites.end()
        return Plot(
            name: "clients", axis: "clients",
            panels: [.init(title: "GETPORT over UDP, 128 in flight", unit: .perSecond, lines: both(lines))])
    }

    private static func both(_ lines: [Contender: Points]) -> [Plot.Line] {
        [Contender.direct, .rpcwarden].map { .init(name: $0.rawValue, points: lines[$0] ?? []) }
    }

    // MARK: Grants

    private static func overGrants(_ bench: Bench) throws -> Plot {
        let site = try Site.guarded(bench, Setting(more: "metrics: 127.0.0.1:9811"))
        var (rates, commits, memory, lookups): (Points, Points, Points, Points) = ([], [], [], [])
        var have = 0
        for count in [1000, 4000, 16_000, 65_536] {
            let before = try CommitTimes(site)
            let sources = "10.78.\(have / 256).\(have % 256)/\(count - have)"
            let tally = try GrantSuite.load(site, LoadRun(calls: count - have, sources: sources))
            rates.append([Double(count), tally.rate])
            commits.append([Double(count), try CommitTimes(site).since(before).median])
            memory.append([Double(count), try both(site)])
            let run = LoadRun(seconds: 0.3, sources: "10.78.0.0/\(count)")
            lookups.append([Double(count), try median(bench) { try GrantSuite.load(site, run).rate }])
            have = count
        }
        try site.end()
        return Plot(
            name: "grants", axis: "grants",
            panels: [
                .init(
                    title: "Lookups, 128 in flight", unit: .perSecond,
                    lines: [.init(name: "new grants", points: rates), .init(name: "in place", points: lookups)]),
                .init(
                    title: "A transaction (128 in flight), p50", unit: .microseconds,
                    lines: [.init(name: "", points: commits)]),
                .init(title: "Memory, all processes", unit: .megabytes, lines: [.init(name: "", points: memory)]),
            ])
    }

    /// The memory of all processes, in megabytes.
    private static func both(_ site: Site) throws -> Double {
        family(of: try site.lab.pid("rpcwarden")).map(ownBytes).reduce(0, +) / 1e6
    }

    // MARK: Prefixes

    private static func overPrefixes(_ bench: Bench) throws -> Plot {
        let site = try Site.guarded(bench)
        var (starts, memory, rates): (Points, Points, Points) = ([], [], [])
        for count in [10, 100, 1000, 10_000] {
            let x = Double(count)
            starts.append([
                x,
                try median(bench) {
                    try site.stop()
                    try site.lab.serverRuns(["nft", "delete table inet rpcwarden"])
                    return try site.serve(Setting(morePrefixes: count))
                },
            ])
            memory.append([x, try both(site)])
            rates.append([x, try median(bench) { try GrantSuite.load(site, LoadRun(seconds: 0.3)).rate }])
        }
        try site.end()
        let decisions = try MicroSuite.measure(bench).figures.compactMap { figure -> [Double]? in
            let words = figure.name.split(separator: " ")
            guard figure.name.hasPrefix("decide"), words.count == 5, let count = Double(words[3]) else { return nil }
            return [count, figure["time"] ?? .nan]
        }
        let one = { (points: Points) in [Plot.Line(name: "", points: points)] }
        return Plot(
            name: "prefixes", axis: "prefixes",
            panels: [
                .init(title: "A decision", unit: .nanoseconds, lines: one(decisions)),
                .init(title: "GETPORT over UDP, 128 in flight", unit: .perSecond, lines: one(rates)),
                .init(title: "Start to READY", unit: .milliseconds, lines: one(starts)),
                .init(title: "Memory, all processes", unit: .megabytes, lines: one(memory)),
            ])
    }

    // MARK: Registrations

    private static func overRegistrations(_ bench: Bench) throws -> Plot {
        var (lookups, dumps): ([Contender: Points], [Contender: Points]) = ([:], [:])
        for count in [5, 20, 50, 100, 200] {
            let services = Service.list(count)
            let sites = try Sites(bench, services: services)
            guard let last = services.last else { continue }
            _ = try sites.load(.rpcwarden, LoadRun(inFlight: 1, calls: 1), .getPort([last.program]))
            for contender in [Contender.direct, .rpcwarden] {
                let x = Double(4 * count)
                let rate = try median(bench) {
                    try sites.load(contender, LoadRun(seconds: 0.3), .getPort([last.program])).rate
                }
                lookups[contender, default: []].append([x, rate])
                let list = LoadRun(kind: "tcp", inFlight: 1, connections: 8, seconds: 0.3)
                dumps[contender, default: []].append([
                    x, try median(bench) { try sites.load(contender, list, .dump).rate },
                ])
            }
            try sites.end()
        }
        return Plot(
            name: "registrations", axis: "registrations",
            panels: [
                .init(title: "GETPORT of the last one, UDP", unit: .perSecond, lines: both(lookups)),
                .init(title: "DUMP over TCP, 8 connections", unit: .perSecond, lines: both(dumps)),
            ])
    }
}
