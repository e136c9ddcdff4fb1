import Foundation

/// Strangers, who get silence: what they cost.
enum DenialSuite {
    static let name = "denials"

    private static let flood = LoadRun(kind: "flood", host: "stranger", to: "10.77.4.1", sources: "10.79.0.1/10000")

    static func measure(_ bench: Bench) throws -> SuiteResult {
        let sites = try Sites(bench)
        var (echo, denied, sending): ([Double], [Double], [Double]) = ([], [], [])
        for round in 0...bench.rounds {
            let echoed = try echoRate(sites)
            let handled = try deniedRate(sites.guarded)
            guard round > 0 else { continue }
            echo.append(echoed)
            denied.append(handled)
            sending.append(try sendingCost(sites.plain))
        }
        try sites.guarded.stop()
        try sites.guarded.serve(Setting(strangersPerSecond: 2000))
        let shielded = try shieldedFigure(sites.guarded, echo, sending)
        try sites.end()
        let judged = Figure(
            name, "strangers over UDP, a second of CPU",
            [
                .init("C echo", .perSecond, echo), .init("rpcwarden", .perSecond, denied),
                .init("of the echo", .ratio, quotients(denied, by: echo)),
            ]
        ).atLeast(0.7, "of the echo")
        return SuiteResult(figures: [judged, shielded])
    }

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
        _ = try site.bench.load(flood, .getPort([.mountd]), from: site.lab)
        // What waits in the socket is read meanwhile.
        usleep(20_000)
        let used = processorSeconds(pids) - cpu
        return Double(try denials(site) - before) / used
    }

    private static func denials(_ site: Site) throws -> Int { try site.counts()["denied_stranger"] ?? 0 }

    /// Seconds for a packet that the network takes and nobody gets: the other end of the link is down.
    private static func sendingCost(_ site: Site) throws -> Double {
        let link = { (state: String) in
            _ = try execute(site.lab.entry("server") + ["ip", "link", "set", "to-stranger4", state])
        }
        try link("down")
        let tally = try site.bench.load(flood, .getPort([.mountd]), from: site.lab)
        try link("up")
        return tally.seconds / Double(max(tally.sent, 1))
    }

    /// The kernel drops them: its time is the sender's here, for a veth has no processor of its own.
    private static func shieldedFigure(_ site: Site, _ echo: [Double], _ sending: [Double]) throws -> Figure {
        // The first raises the shield, which then holds for half a minute.
        _ = try site.bench.load(flood, .getPort([.mountd]), from: site.lab)
        var (rates, wall): ([Double], [Double]) = ([], [])
        let own = Spread(sending).median
        for _ in 0..<min(site.bench.rounds, 10) {
            let pids = family(of: try site.lab.pid("rpcwarden"))
            let cpu = processorSeconds(pids)
            let tally = try site.bench.load(flood, .getPort([.mountd]), from: site.lab)
            let spent = tally.seconds - own * Double(tally.sent) + processorSeconds(pids) - cpu
            rates.append(Double(tally.sent) / spent)
            wall.append(Double(tally.sent) / tally.seconds)
        }
        return Figure(
            name, "the same, dropped by the kernel (its CPU and rpcwarden's)",
            [
                .init("C echo", .perSecond, echo), .init("rpcwarden", .perSecond, rates),
                .init("of the echo", .ratio, quotients(rates, by: echo)),
                .init("one core sends and drops", .perSecond, wall),
            ]
        ).atLeast(5, "of the echo")
    }
}
