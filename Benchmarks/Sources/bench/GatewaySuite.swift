import Foundation

/// A router with rpcwarden in front of a stock server, compared with the same router without it.
enum GatewaySuite {
    static let name = "gateway"
    private static let lookups = "gateway lookups"

    static func measure(_ bench: Bench) throws -> SuiteResult {
        let plain = try FilerSite(bench, "plain", isGuarded: false)
        let guarded = try FilerSite(bench, "warden", isGuarded: true)
        try guarded.serve(liveness: "call")
        var figures = [
            try latency(plain, guarded),
            try throughput(plain, guarded),
        ]
        // The sockets of the data path read nothing, so they answer no NULL call either.
        try guarded.router.stop()
        try guarded.serve(liveness: "off")
        try guarded.grant(2)
        figures += [
            try compare("TCP stream, 1 grant", .megabits, plain, guarded, stream).atLeast(0.97, oneRule),
            try compare("small UDP, 1 grant", .perSecond, plain, guarded, packets).atLeast(0.8, oneRule),
            try compare("small UDP, to a host that is no server", .perSecond, plain, guarded, otherPackets)
                .atLeast(0.92, oneRule),
        ]
        try guarded.grant(60_000)
        figures.append(
            try compare("small UDP, 60,000 grants", .perSecond, plain, guarded, packets).atLeast(0.8, oneRule))
        try plain.end()
        try guarded.end()
        return SuiteResult(figures: figures)
    }

    // MARK: Lookups

    private struct Lookups {
        var tallies: [[Tally]] = [[], []]
        /// Microseconds of processor time for each answered call.
        var costs: [[Double]] = [[], []]

        /// The same calls to rpcbind through the plain router, and to rpcwarden as gateway, round after round.
        init(_ plain: FilerSite, _ guarded: FilerSite, _ run: LoadRun) throws {
            for round in 0...plain.bench.rounds {
                for (index, site) in [plain, guarded].enumerated() {
                    let workers = try site.workers()
                    let before = processorSeconds(workers)
                    let tally = try site.load(run, .getPort([.mountd]))
                    let cost = (processorSeconds(workers) - before) / Double(max(tally.answered, 1))
                    guard tally.accepted == tally.answered, tally.empty == 0 else {
                        throw Unfulfilled(description: "\(site.lab.name) refused calls: \(tally)")
                    }
                    // The first round opens the port and warms the caches.
                    guard round > 0 else { continue }
                    tallies[index].append(tally)
                    costs[index].append(cost * 1e6)
                }
            }
        }

        func cells(_ unit: Unit, _ value: (Tally) -> Double) -> [Figure.Cell] {
            let (direct, gateway) = (tallies[0].map(value), tallies[1].map(value))
            return [
                .init("rpcbind, routed", unit, direct), .init("rpcwarden", unit, gateway),
                .init("of rpcbind", .ratio, quotients(gateway, by: direct)),
                .init("CPU a call, rpcbind", .microseconds, costs[0]),
                .init("CPU a call, rpcwarden", .microseconds, costs[1]),
            ]
        }
    }

    private static func latency(_ plain: FilerSite, _ guarded: FilerSite) throws -> Figure {
        let cells = try Lookups(plain, guarded, LoadRun(inFlight: 1)).cells(.microseconds) { $0.p50 / 1000 }
        return Figure(lookups, "v2 GETPORT, UDP, one in flight, p50", cells).atMost(1.6, "of rpcbind")
    }

    private static func throughput(_ plain: FilerSite, _ guarded: FilerSite) throws -> Figure {
        let cells = try Lookups(plain, guarded, LoadRun()).cells(.perSecond, \.rate)
        return Figure(lookups, "v2 GETPORT, UDP, 128 in flight", cells).atLeast(1.5, "of rpcbind")
    }

    // MARK: Forwarded packets

    private static let oneRule = "of one rule"

    private enum Path: CaseIterable {
        case none, conntrack, conntrackAgain, table

        var column: String {
            switch self {
            case .none: "no table"
            case .conntrack, .conntrackAgain: "one `ct state` rule"
            case .table: "rpcwarden's table"
            }
        }

        /// The ruleset for nft, at the plain router.
        var ruleset: String? {
            switch self {
            case .none, .table: nil
            case .conntrack, .conntrackAgain:
                """
                table inet base { chain forward { type filter hook forward priority -10; ct state established accept; }; }
                """
            }
        }
    }

    private static func compare(
        _ row: String, _ unit: Unit, _ plain: FilerSite, _ guarded: FilerSite, _ measure: (FilerSite) throws -> Double
    ) throws -> Figure {
        var samples: [Path: [Double]] = [:]
        for _ in 0..<plain.bench.rounds {
            for (path, values) in try slices(plain, guarded, measure) {
                samples[path, default: []].append(Spread(values).median)
            }
        }
        let (table, base) = (samples[.table] ?? [], samples[.conntrack] ?? [])
        return Figure(
            name, row,
            [Path.none, .conntrack, .table].map { .init($0.column, unit, samples[$0] ?? []) }
                + [
                    .init(oneRule, .ratio, quotients(table, by: base)),
                    // The meaning of a ratio: the same path, measured twice in the same way.
                    .init("one rule twice", .ratio, quotients(samples[.conntrackAgain] ?? [], by: base)),
                    .init("of no table", .ratio, quotients(table, by: samples[.none] ?? [])),
                ])
    }

    /// A short disturbance of the machine affects one slice, on any path; a round's figure is the median of its
    /// slices.
    private static let slicesPerRound = 5

    private static func slices(
        _ plain: FilerSite, _ guarded: FilerSite, _ measure: (FilerSite) throws -> Double
    ) throws -> [Path: [Double]] {
        var slices: [Path: [Double]] = [:]
        for slice in 0..<slicesPerRound {
            for path in Path.allCases.rotated(by: slice) {
                if let ruleset = path.ruleset { try plain.lab.serverRuns(["nft", ruleset]) }
                slices[path, default: []].append(try measure(path == .table ? guarded : plain))
                if path.ruleset != nil { try plain.lab.serverRuns(["nft", "delete table inet base"]) }
            }
        }
        return slices
    }

    @Sendable private static func stream(_ site: FilerSite) throws -> Double {
        try iperfMegabits(site.bench, from: site.lab, to: FilerSite.address, port: FilerSite.streaming.port)
    }

    private static func packets(_ site: FilerSite) throws -> Double { try packets(site, to: FilerSite.address) }
    private static func otherPackets(_ site: FilerSite) throws -> Double {
        try packets(site, to: FilerSite.otherAddress)
    }

    /// Packets a second. No process reads them: the measured way ends at the filer's socket, and the sender's
    /// processor does all of the work.
    private static func packets(_ site: FilerSite, to address: String) throws -> Double {
        let run = LoadRun(kind: "flood", to: address, port: FilerSite.datagrams.port, seconds: 0.4)
        let tally = try site.bench.load(run, .getPort([.mountd]), from: site.lab)
        return Double(tally.sent) / tally.seconds
    }
}
