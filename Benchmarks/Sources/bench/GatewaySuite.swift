import Foundation

/// A router with rpcwarden in front of a stock server, compared with the same router without it.
enum GatewaySuite {
    static let name = "gateway"
    private static let lookups = "gateway lookups"

    static func measure(_ bench: Bench) throws -> SuiteResult {
        let routers = try Routers(bench)
        try routers.guarded.serve(liveness: "call")
        var figures = [try latency(routers), try throughput(routers)]
        // The services of the data path read nothing, so they answer no NULL call either.
        try routers.guarded.router.stop()
        figures += try GatewayOutages(routers.guarded).figures()
        try routers.guarded.serve(liveness: "off")
        try routers.guarded.grant(2)
        figures += [
            try compare("TCP stream, 1 grant", .megabits, routers, stream).atLeast(0.97, oneRule),
            try compare("small UDP, 1 grant", .perSecond, routers, packets).atLeast(0.8, oneRule),
            try compare("small UDP, to a host that is no server", .perSecond, routers, otherPackets)
                .atLeast(0.92, oneRule),
        ]
        try routers.guarded.grant(60_000)
        figures.append(try compare("small UDP, 60,000 grants", .perSecond, routers, packets).atLeast(0.8, oneRule))
        try routers.end()
        return SuiteResult(figures: figures)
    }

    private struct Routers {
        let plain: FilerSite
        /// As plain as the other, with a rule that routes by a packet's mark. `tproxy` needs such rules. Where there
        /// ever was one, the kernel looks up routes in a slower way: hence a lab of its own.
        let marked: FilerSite
        let guarded: FilerSite

        init(_ bench: Bench) throws {
            plain = try FilerSite(bench, "plain", isGuarded: false)
            marked = try FilerSite(bench, "marked", isGuarded: false)
            guarded = try FilerSite(bench, "warden", isGuarded: true)
            try marked.lab.serverRuns(["ip", "rule", "add", "fwmark", "0x20000/0x20000", "lookup", "111"])
            try plain.router.startEcho()
        }

        var all: [FilerSite] { [plain, marked, guarded] }

        func end() throws { for site in all { try site.end() } }
    }

    // MARK: Lookups

    private struct Lookups {
        var rpcbind: [Tally] = []
        var rpcwarden: [Tally] = []
        /// Microseconds of processor time for each answered call.
        var rpcbindCosts: [Double] = []
        var rpcwardenCosts: [Double] = []
        /// The least time, in microseconds, of a proxy that asks the server at each call: the client's way to an
        /// echo at the router, and the router's to rpcbind over TCP.
        var floors: [Double] = []

        /// The same calls to rpcbind through the plain router, and to rpcwarden as gateway, round after round.
        init(_ routers: Routers, _ run: LoadRun) throws {
            for round in 0...routers.plain.bench.rounds {
                let (direct, directCost) = try Self.load(routers.plain, run)
                let (gateway, gatewayCost) = try Self.load(routers.guarded, run)
                let floor = try Self.floor(routers.plain)
                // The first round opens the port and warms the caches.
                guard round > 0 else { continue }
                rpcbind.append(direct)
                rpcwarden.append(gateway)
                rpcbindCosts.append(directCost)
                rpcwardenCosts.append(gatewayCost)
                floors.append(floor)
            }
        }

        private static func load(_ site: FilerSite, _ run: LoadRun) throws -> (Tally, cost: Double) {
            let workers = try site.workers()
            let before = processorSeconds(workers)
            let tally = try site.load(run, .getPort([.mountd]))
            guard tally.accepted == tally.answered, tally.empty == 0 else {
                throw Unfulfilled(description: "\(site.lab.name) refused calls: \(tally)")
            }
            return (tally, (processorSeconds(workers) - before) / Double(max(tally.answered, 1)) * 1e6)
        }

        private static func floor(_ site: FilerSite) throws -> Double {
            let messages = Messages.getPort([.mountd])
            let echo = try site.bench.load(LoadRun(port: Site.echoPort, inFlight: 1), messages, from: site.lab)
            let rpcbind = try site.load(LoadRun(kind: "tcp", host: "server", inFlight: 1), messages)
            return (echo.p50 + rpcbind.p50) / 1000
        }

        func cells(_ unit: Unit, _ value: (Tally) -> Double) -> [Figure.Cell] {
            let (direct, gateway) = (rpcbind.map(value), rpcwarden.map(value))
            return [
                .init("rpcbind, routed", unit, direct), .init("rpcwarden", unit, gateway),
                .init("of rpcbind", .ratio, quotients(gateway, by: direct)),
                .init("CPU a call, rpcbind", .microseconds, rpcbindCosts),
                .init("CPU a call, rpcwarden", .microseconds, rpcwardenCosts),
            ]
        }
    }

    private static func latency(_ routers: Routers) throws -> Figure {
        let lookups = try Lookups(routers, LoadRun(inFlight: 1))
        let times = lookups.rpcwarden.map { $0.p50 / 1000 }
        let more: [Figure.Cell] = [
            .init("the floor", .microseconds, lookups.floors),
            .init("of the floor", .ratio, quotients(times, by: lookups.floors)),
        ]
        return Figure(
            Self.lookups, "v2 GETPORT, UDP, one in flight, p50", lookups.cells(.microseconds) { $0.p50 / 1000 } + more
        ).atMost(1.6, "of rpcbind")
    }

    private static func throughput(_ routers: Routers) throws -> Figure {
        let cells = try Lookups(routers, LoadRun()).cells(.perSecond, \.rate)
        return Figure(lookups, "v2 GETPORT, UDP, 128 in flight", cells).atLeast(1.5, "of rpcbind")
    }

    // MARK: Forwarded packets

    private static let oneRule = "of one rule"

    private enum Path: CaseIterable {
        case none, conntrack, conntrackAgain, marked, table

        var column: String {
            switch self {
            case .none: "no table"
            case .conntrack, .conntrackAgain: "one `ct state` rule"
            case .marked: "that and a routing rule"
            case .table: "rpcwarden's table"
            }
        }

        func site(_ routers: Routers) -> FilerSite {
            switch self {
            case .none, .conntrack, .conntrackAgain: routers.plain
            case .marked: routers.marked
            case .table: routers.guarded
            }
        }

        /// The ruleset for nft, at the site.
        var ruleset: String? {
            switch self {
            case .none, .table: nil
            case .conntrack, .conntrackAgain, .marked:
                """
                table inet base { chain forward { type filter hook forward priority -10; ct state established accept; }; }
                """
            }
        }
    }

    private static func compare(
        _ row: String, _ unit: Unit, _ routers: Routers, _ measure: (FilerSite) throws -> Double
    ) throws -> Figure {
        var samples: [Path: [Double]] = [:]
        for _ in 0..<routers.plain.bench.rounds {
            for (path, values) in try slices(routers, measure) {
                samples[path, default: []].append(Spread(values).median)
            }
        }
        let (table, base) = (samples[.table] ?? [], samples[.conntrack] ?? [])
        return Figure(
            name, row,
            [Path.none, .conntrack, .marked, .table].map { .init($0.column, unit, samples[$0] ?? []) }
                + [
                    .init(oneRule, .ratio, quotients(table, by: base)),
                    // The meaning of a ratio: the same path, measured twice in the same way.
                    .init("one rule twice", .ratio, quotients(samples[.conntrackAgain] ?? [], by: base)),
                    .init("the routing rule, of one rule", .ratio, quotients(samples[.marked] ?? [], by: base)),
                    .init("of both", .ratio, quotients(table, by: samples[.marked] ?? [])),
                    .init("of no table", .ratio, quotients(table, by: samples[.none] ?? [])),
                ])
    }

    /// A short disturbance of the machine affects one slice, on any path; a round's figure is the median of its
    /// slices.
    private static let slicesPerRound = 5

    private static func slices(
        _ routers: Routers, _ measure: (FilerSite) throws -> Double
    ) throws -> [Path: [Double]] {
        var slices: [Path: [Double]] = [:]
        for slice in 0..<slicesPerRound {
            for path in Path.allCases.rotated(by: slice) {
                let site = path.site(routers)
                if let ruleset = path.ruleset { try site.lab.serverRuns(["nft", ruleset]) }
                slices[path, default: []].append(try measure(site))
                if path.ruleset != nil { try site.lab.serverRuns(["nft", "delete table inet base"]) }
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
