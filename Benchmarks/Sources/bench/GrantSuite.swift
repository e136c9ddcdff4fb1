import Foundation

/// Lookups that each open a port, compared with lookups of the same clients with open ports.
enum GrantSuite {
    static let name = "grants"

    private static let clients = 10_000
    /// The number of rounds that limits.grants allows, with a thousand grants over IPv6 in each.
    private static let roundsMax = 5

    static func measure(_ bench: Bench) throws -> SuiteResult {
        let site = try Site.guarded(bench, Setting(more: "metrics: 127.0.0.1:9811"))
        let (many, one) = (try many(site), try one(site))
        let floor = try GrantFloor(site, rounds: min(bench.rounds, roundsMax)).figures(many)
        try site.end()
        return SuiteResult(figures: [many, one] + floor)
    }

    private static func many(_ site: Site) throws -> Figure {
        var opening: [Double] = []
        var open: [Double] = []
        var (openingCosts, openCosts) = ([Double](), [Double]())
        let before = try CommitTimes(site)
        for round in 0..<min(site.bench.rounds, roundsMax) {
            let first = round * clients + 1
            let run = LoadRun(calls: clients, sources: "10.78.\(first / 256).\(first % 256)/\(clients)")
            opening.append(try load(site, run, &openingCosts))
            open.append(try load(site, run, &openCosts))
        }
        let commits = try CommitTimes(site).since(before)
        let granted = try site.counts()["grants"] ?? 0
        guard granted >= opening.count * clients else {
            throw Unfulfilled(description: "only \(granted) grants were issued")
        }
        return Figure(
            name, "10,000 clients, 128 in flight",
            [
                .init("each with a new grant", .perSecond, opening), .init("grants in place", .perSecond, open),
                .init("of those in place", .ratio, quotients(opening, by: open)),
                .init("CPU a lookup, the load's included", .microseconds, openingCosts),
                .init("with the grant in place", .microseconds, openCosts),
                .init("grants a transaction", .ratio, Double(granted) / Double(max(commits.count, 1))),
            ]
        ).atLeast(0.8, "of those in place")
    }

    /// Lookups a second; appends the time that each took on all processors, in microseconds.
    private static func load(_ site: Site, _ run: LoadRun, _ costs: inout [Double]) throws -> Double {
        let workers = try site.workers()
        let before = processorSeconds(workers)
        let tally = try load(site, run)
        costs.append((processorSeconds(workers) - before + tally.cpu) / Double(max(tally.answered, 1)) * 1e6)
        return tally.rate
    }

    /// One lookup at a time, over IPv6, which has a separate set of grants.
    private static func one(_ site: Site) throws -> Figure {
        let before = try CommitTimes(site)
        var opening: [Double] = []
        var open: [Double] = []
        for round in 0..<min(site.bench.rounds, roundsMax) {
            let run = LoadRun(
                to: "fd77:1::1", inFlight: 1, calls: 1000, sources: "fd78::\(String(round + 1, radix: 16)):1/1000")
            opening.append(try load(site, run).p50 / 1000)
            open.append(try load(site, run).p50 / 1000)
        }
        let commits = try CommitTimes(site).since(before)
        return Figure(
            name, "one in flight, p50",
            [
                .init("each with a new grant", .microseconds, opening),
                .init("grants in place", .microseconds, open),
                .init("a grant adds", .microseconds, zip(opening, open).map { $0 - $1 }),
                .init("commit to acknowledgement", .microseconds, commits.median),
            ]
        ).atMost(30, "commit to acknowledgement")
    }

    static func load(_ site: Site, _ run: LoadRun) throws -> Tally {
        let tally = try site.bench.load(run, .getPort([.mountd]), from: site.lab)
        guard tally.accepted == (run.calls == nil ? tally.answered : tally.sent), tally.empty == 0 else {
            throw Unfulfilled(description: "not all were served: \(tally)")
        }
        return tally
    }
}

/// rpcwarden's own histogram of the durations of its transactions.
struct CommitTimes {
    /// Upper bounds in microseconds, and the cumulative counts.
    private var buckets: [(bound: Double, count: Double)] = []

    init(_ site: Site) throws {
        let page = try site.lab.serverRuns(["curl", "-s", "http://127.0.0.1:9811/metrics"])
        for line in page.split(separator: "\n") where line.hasPrefix("rpcwarden_commit_duration_seconds_bucket") {
            let parts = line.split(separator: "\"")
            guard parts.count == 3, let count = Double(parts[2].dropFirst().trimming) else { continue }
            buckets.append((parts[1] == "+Inf" ? .infinity : (Double(parts[1]) ?? 0) * 1e6, count))
        }
    }

    func since(_ earlier: CommitTimes) -> CommitTimes {
        var result = self
        for index in result.buckets.indices { result.buckets[index].count -= earlier.buckets[index].count }
        return result
    }

    var count: Int { Int(buckets.last?.count ?? 0) }

    /// Interpolated linearly between a bucket's bounds.
    var median: Double {
        let half = (buckets.last?.count ?? 0) / 2
        var (low, below) = (0.0, 0.0)
        for bucket in buckets {
            if bucket.count >= half, bucket.count > below {
                return low + (bucket.bound - low) * (half - below) / (bucket.count - below)
            }
            (low, below) = (bucket.bound, bucket.count)
        }
        return .nan
    }
}
