/// The time of a call without other calls in flight.
enum LatencySuite {
    static let name = "latency"

    static func measure(_ bench: Bench) throws -> SuiteResult {
        let sites = try Sites(bench)
        let comparison = try Comparison(
            Contender.ordinary, sites, LoadRun(inFlight: 1), .getPort([.mountd]))
        try sites.end()
        return SuiteResult(figures: [
            figure("p50", comparison, \.p50).atMost(1.45, "of rpcbind"),
            figure("p99", comparison, \.p99).atMost(2, "of rpcbind"),
            figure("p99.9", comparison, \.p999),
        ])
    }

    private static func figure(_ name: String, _ comparison: Comparison, _ quantile: KeyPath<Tally, Double>) -> Figure {
        let samples = { (contender: Contender) in
            (comparison.tallies[contender] ?? []).map { $0[keyPath: quantile] / 1000 }
        }
        return Figure(
            Self.name, "v2 GETPORT, UDP, one in flight, \(name)",
            Contender.ordinary.map { .init($0.rawValue, .microseconds, samples($0)) }
                + [.init("of rpcbind", .ratio, quotients(samples(.rpcwarden), by: samples(.direct)))])
    }
}
