import Portmapper

/// Calls a second with many in flight, the ports being open already.
enum ThroughputSuite {
    static let name = "throughput"

    private struct Workload {
        var name: String
        var messages: Messages
        var run = LoadRun()
        var contenders = Contender.allCases
        /// Of rpcbind's own rate.
        var target: Double
        /// Or so much of the echo's, whichever is less.
        var targetOfEcho: Double?
    }

    private static var workloads: [Workload] {
        let tcp = { (inFlight: Int) in LoadRun(kind: "tcp", inFlight: inFlight) }
        return [
            Workload(
                name: "v2 GETPORT, UDP, one program", messages: .getPort([.mountd]), target: 3, targetOfEcho: 0.75),
            Workload(name: "v2 GETPORT, UDP, 20 programs", messages: .getPort(Programs.list(20)), target: 2),
            Workload(name: "v4 GETADDR, UDP", messages: .getAddress(.udp), target: 1),
            Workload(
                name: "v4 GETADDR, TCP", messages: .getAddress(.tcp), run: tcp(128), contenders: [.direct, .rpcwarden],
                target: 1.5),
            Workload(
                name: "v4 DUMP, TCP, 16 in flight", messages: .dump, run: tcp(16), contenders: [.direct, .rpcwarden],
                target: 1),
        ]
    }

    static func measure(_ bench: Bench) throws -> SuiteResult {
        let sites = try Sites(bench)
        let figures = try workloads.map { try figure($0, sites) }
        try sites.end()
        return SuiteResult(figures: figures)
    }

    private static func figure(_ workload: Workload, _ sites: Sites) throws -> Figure {
        let comparison = try Comparison(workload.contenders, sites, workload.run, workload.messages)
        var cells = workload.contenders.map { Figure.Cell($0.rawValue, .perSecond, comparison.rates[$0] ?? []) }
        cells.append(.init("of rpcbind", .ratio, comparison.ratios(to: .direct)))
        if workload.contenders.contains(.echo) {
            cells.append(.init("of the echo", .ratio, comparison.ratios(to: .echo)))
        }
        for contender in workload.contenders {
            cells.append(.init("CPU a call, \(contender.rawValue)", .microseconds, comparison.costs[contender] ?? []))
        }
        let figure = Figure(name, workload.name, cells)
        guard let ofEcho = workload.targetOfEcho, let reached = figure["of the echo"],
            let ofDirect = figure["of rpcbind"], reached / ofEcho > ofDirect / workload.target
        else { return figure.atLeast(workload.target, "of rpcbind") }
        return figure.atLeast(ofEcho, "of the echo")
    }
}
