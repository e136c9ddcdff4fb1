/// Calls a second with many calls in flight; the ports are open already.
enum ThroughputSuite {
    static let name = "throughput"

    private struct Workload {
        var name: String
        var messages: Messages
        var run = LoadRun()
        var contenders = Contender.ordinary
        /// The minimum, as a fraction of rpcbind's own rate.
        var target: Double
        /// Or this fraction of the echo's rate, if that is less.
        var targetOfEcho: Double?
    }

    private static var workloads: [Workload] {
        let tcp = { (inFlight: Int) in LoadRun(kind: "tcp", inFlight: inFlight) }
        return [
            Workload(
                name: "v2 GETPORT, UDP, one program", messages: .getPort([.mountd]),
                contenders: [.echo, .guardedEcho, .relay, .direct, .rpcwarden], target: 3, targetOfEcho: 0.75),
            Workload(
                name: "v2 GETPORT, UDP, 20 programs", messages: .getPort(Service.list(20).map(\.program)),
                contenders: [.echo, .relay, .direct, .rpcwarden], target: 2),
            Workload(name: "v4 GETADDR, UDP", messages: .getAddress(.udp), target: 1),
            Workload(
                name: "v4 GETADDR, TCP", messages: .getAddress(.tcp), run: tcp(128), contenders: [.direct, .rpcwarden],
                target: 1.5),
            Workload(
                name: "v4 DUMP, TCP, 8 connections", messages: .dump,
                // With more than one long reply pending on a connection, rpcbind sometimes stops permanently.
                run: LoadRun(kind: "tcp", inFlight: 1, connections: 8), contenders: [.direct, .rpcwarden],
                target: 1),
        ]
    }

    static func measure(_ bench: Bench) throws -> SuiteResult {
        let sites = try Sites(bench)
        try sites.guarded.startEcho()
        try sites.guarded.startRelay()
        let compared = try workloads.map {
            ($0, try Comparison($0.contenders, sites, $0.run, $0.messages))
        }
        try sites.end()
        return SuiteResult(figures: compared.map(figure) + compared.map(cost))
    }

    private static func cost(_ workload: Workload, _ comparison: Comparison) -> Figure {
        Figure(
            "cost", workload.name,
            workload.contenders.map {
                .init("CPU a call, \($0.rawValue)", .microseconds, comparison.costs[$0] ?? [])
            }
                + ([("p50", \.p50), ("p99", \.p99), ("p99.9", \.p999)] as [(String, KeyPath<Tally, Double>)]).map {
                    name, quantile in
                    .init(
                        "rpcwarden's \(name)", .microseconds,
                        (comparison.tallies[.rpcwarden] ?? []).map { $0[keyPath: quantile] / 1000 })
                })
    }

    private static func figure(_ workload: Workload, _ comparison: Comparison) -> Figure {
        var cells = workload.contenders.map { Figure.Cell($0.rawValue, .perSecond, comparison.rates[$0] ?? []) }
        cells.append(.init("of rpcbind", .ratio, comparison.ratios(to: .direct)))
        for (other, name) in [
            (Contender.echo, "of the echo"), (.guardedEcho, "of the echo behind our table"), (.relay, "of the relay"),
        ]
        where workload.contenders.contains(other) {
            cells.append(.init(name, .ratio, comparison.ratios(to: other)))
        }
        let figure = Figure(name, workload.name, cells)
        guard let ofEcho = workload.targetOfEcho, let reached = figure["of the echo"],
            let ofDirect = figure["of rpcbind"], reached / ofEcho > ofDirect / workload.target
        else { return figure.atLeast(workload.target, "of rpcbind") }
        return figure.atLeast(ofEcho, "of the echo")
    }
}
