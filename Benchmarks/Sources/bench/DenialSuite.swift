import Foundation

/// The cost of strangers, which get no answer.
enum DenialSuite {
    static let name = "denials"

    private static let flood = LoadRun(kind: "flood", host: "stranger", to: "10.77.4.1", sources: "10.79.0.1/10000")

    static func measure(_ bench: Bench) throws -> SuiteResult {
        let sites = try Sites(bench)
        var (echo, denied): ([Double], [Double]) = ([], [])
        for round in 0...bench.rounds {
            let (echoed, handled) = (try echoRate(sites), try deniedRate(sites.guarded))
            guard round > 0 else { continue }
            echo.append(echoed)
            denied.append(handled)
        }
        try sites.guarded.stop()
        try sites.guarded.serve(Setting(strangersPerSecond: 2000))
        // The first flood raises the shield, which then stays up for half a minute.
        _ = try flood(sites.guarded)
        let (delivered, shielded, least) = try floods(sites)
        try sites.end()
        return SuiteResult(figures: [
            Figure(
                name, "strangers over UDP, for a second of CPU",
                [
                    .init("C echo", .perSecond, echo), .init("rpcwarden", .perSecond, denied),
                    .init("of the echo", .ratio, quotients(denied, by: echo)),
                ]
            ).atLeast(0.7, "of the echo"),
            Figure(
                name, "the same, shielded by the kernel",
                [
                    .init("C echo", .perSecond, echo), .init("rpcwarden", .perSecond, shielded.map(\.handled)),
                    .init("of the echo", .ratio, quotients(shielded.map(\.handled), by: echo)),
                ]
            ).atLeast(5, "of the echo"),
            Figure(
                name, "packets that one core sends and the kernel takes",
                [
                    .init("C echo", .perSecond, delivered.map(\.rate)),
                    .init("rpcwarden", .perSecond, shielded.map(\.rate)),
                    .init("of the echo", .ratio, quotients(shielded.map(\.rate), by: delivered.map(\.rate))),
                    .init("one rule before conntrack", .perSecond, least.map(\.rate)),
                ]),
        ])
    }

    private struct Flood {
        /// Packets a second.
        var rate: Double
        /// Packets for each second of the daemon's time plus the kernel's time beyond that of delivery to the
        /// echo.
        var handled = 0.0
    }

    /// A veth has no processor of its own: the kernel's work on a packet is the sender's time.
    private static func floods(_ sites: Sites) throws -> (echo: [Flood], shielded: [Flood], least: [Flood]) {
        var result: (echo: [Flood], shielded: [Flood], least: [Flood]) = ([], [], [])
        let pids = family(of: try sites.guarded.lab.pid("rpcwarden"))
        let rules =
            "table inet least { chain first { type filter hook prerouting priority -300; udp dport 111 drop; }; }"
        try sites.plain.lab.serverRuns(["nft", rules])
        for _ in 0..<sites.plain.bench.rounds {
            let delivered = try flood(sites.plain, port: Site.echoPort)
            let cpu = processorSeconds(pids)
            let tally = try flood(sites.guarded)
            let own = processorSeconds(pids) - cpu
            let longer = max(0, tally.seconds - Double(tally.sent) * delivered.seconds / Double(delivered.sent))
            result.echo.append(Flood(rate: rate(delivered)))
            result.shielded.append(Flood(rate: rate(tally), handled: Double(tally.sent) / (own + longer)))
            result.least.append(Flood(rate: rate(try flood(sites.plain))))
        }
        return result
    }

    private static func flood(_ site: Site, port: Int = 111) throws -> Tally {
        var run = flood
        run.port = port
        return try site.bench.load(run, .getPort([.mountd]), from: site.lab)
    }

    private static func rate(_ tally: Tally) -> Double { Double(tally.sent) / tally.seconds }

    /// Calls for each second of the echo's time.
    private static func echoRate(_ sites: Sites) throws -> Double {
        let pids = try sites.workers(.echo)
        let before = processorSeconds(pids)
        let tally = try sites.load(.echo, LoadRun(), .getPort([.mountd]))
        return Double(tally.answered) / (processorSeconds(pids) - before)
    }

    private static func deniedRate(_ site: Site) throws -> Double {
        let pids = family(of: try site.lab.pid("rpcwarden"))
        let (before, cpu) = (try denials(site), processorSeconds(pids))
        _ = try flood(site)
        // Meanwhile the calls waiting in the socket are read.
        usleep(20_000)
        let used = processorSeconds(pids) - cpu
        return Double(try denials(site) - before) / used
    }

    private static func denials(_ site: Site) throws -> Int { try site.counts()["denied_stranger"] ?? 0 }
}
