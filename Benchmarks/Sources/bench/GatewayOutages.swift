import Addresses
import Portmapper

/// Look-ups at a server behind the gateway, alone and while clients ask for another server that doesn't answer.
///
/// Alone, the gateway has no other server. The rounds restart it, with and without the neighbours.
struct GatewayOutages {
    private let site: FilerSite

    init(_ site: FilerSite) { self.site = site }

    private enum Neighbour: String, CaseIterable {
        /// Shows the cost of the clients' questions themselves: the same server is asked, and answers.
        case none = "the same server"
        /// Its kernel accepts connections; its rpcbind is stopped.
        case hung = "a hung server"
        /// Packets to it are lost.
        case silent = "a dead server"
        case unroutable = "a server without a route"

        var address: String {
            switch self {
            case .none: FilerSite.address
            case .hung: "10.77.6.2"
            case .silent: "10.77.6.3"
            case .unroutable: "192.0.2.1"
            }
        }

        var name: String { "\(self)" }
    }

    private static let neighbours = Neighbour.allCases.filter { $0 != .none }

    /// The questions of `rate` clients, each of which asks once a second.
    private static func questions(to neighbour: Neighbour, rate: Int) -> (LoadRun, Messages) {
        var run = LoadRun(to: neighbour.address, inFlight: 1024)
        (run.seconds, run.sources, run.patienceMilliseconds, run.rate) = (3600, "10.78.8.1/\(rate)", 1000, rate)
        let programs = [Program.mountd, FilerSite.datagrams.program, FilerSite.streaming.program]
        let calls = programs.flatMap { program in
            (1...8).flatMap { version in
                Transport.allCases.map { transport in
                    PortmapperCall.getPort(
                        Mapping(
                            program: program, version: version, protocolNumber: UInt32(transport.rawValue), port: 0))
                }
            }
        }
        return (run, Messages(calls: calls))
    }

    private struct Sample {
        var many, one: Tally
        /// Of the gateway's processes for each question to the neighbour, in microseconds; `nil`: no questions.
        var cost: Double?
    }

    private struct Samples {
        var alone: [Sample] = []
        var beside: [Sample] = []

        func values(_ value: (Sample) -> Double) -> (alone: [Double], beside: [Double]) {
            (alone.map(value), beside.map(value))
        }

        func figure(_ name: String, _ unit: Unit, _ value: (Sample) -> Double) -> Figure {
            let (alone, beside) = values(value)
            return Figure(
                "gateway outages", name,
                [
                    .init("alone", unit, alone), .init("beside", unit, beside),
                    .init("of alone", .ratio, quotients(beside, by: alone)),
                ])
        }

        var costs: [Double] { beside.compactMap(\.cost) }

        /// - Parameter answered: the cost of questions that are answered.
        func figures(_ neighbour: Neighbour, answered: [Double]) -> [Figure] {
            let all = measured(neighbour.rawValue, answered: answered)
            guard neighbour != .none else { return all }
            return [
                all[0].atMost(0.6, "of an answered one"), all[1].atLeast(0.9, "of alone"), all[2].atMost(2, "of alone"),
                all[3].atMost(2, "of alone"),
            ]
        }

        private func measured(_ neighbour: String, answered: [Double]) -> [Figure] {
            [
                Figure(
                    "gateway outages", "\(neighbour): CPU a question",
                    [
                        .init("beside", .microseconds, costs),
                        .init("of an answered one", .ratio, quotients(costs, by: answered)),
                    ]),
                figure("\(neighbour): 128 in flight", .perSecond) { $0.many.rate },
                figure("\(neighbour): 128 in flight, p99", .microseconds) { $0.many.p99 / 1000 },
                figure("\(neighbour): one in flight, p99", .microseconds) { $0.one.p99 / 1000 },
            ]
        }
    }

    func figures() throws -> [Figure] {
        try startNeighbours()
        var samples: [Neighbour: Samples] = [:]
        for round in 0..<site.bench.rounds {
            var alone: Sample?
            var beside: [Neighbour: Sample] = [:]
            for isAlone in [true, false].rotated(by: round) {
                if isAlone { alone = try measureAlone() } else { beside = try measureBeside(round) }
            }
            for (neighbour, sample) in beside {
                if let alone { samples[neighbour, default: Samples()].alone.append(alone) }
                samples[neighbour, default: Samples()].beside.append(sample)
            }
        }
        let answered = samples[.none]?.costs ?? []
        return Neighbour.allCases.flatMap { (samples[$0] ?? Samples()).figures($0, answered: answered) }
    }

    private func startNeighbours() throws {
        let lab = site.lab
        try lab.control("spare")
        try lab.spawn("spare-rpcbind", on: "spare", ["rpcbind", "-f", "-w"])
        let spare = ["ip", "-n", "\(lab.name)-spare"]
        try execute(spare + ["address", "add", "\(Neighbour.hung.address)/32", "dev", "ha0"])
        try lab.serverRuns(["ip", "route", "add", Neighbour.hung.address, "via", "10.77.8.12"])
        // The filer forwards nothing.
        try lab.serverRuns(["ip", "route", "add", Neighbour.silent.address, "via", FilerSite.address])
    }

    private func measureAlone() throws -> Sample {
        try site.serve(liveness: "call")
        let sample = try sample()
        try site.router.stop()
        return sample
    }

    private func measureBeside(_ round: Int) throws -> [Neighbour: Sample] {
        let lab = site.lab
        try site.serve(liveness: "call", neighbours: Self.neighbours.map { ($0.name, $0.address) })
        try eventually("the server that will hang is up") {
            try site.router.rpcwarden("registry", "--server", Neighbour.hung.name).contains("portmapper")
        }
        try lab.control("kill", "spare-rpcbind", "STOP")
        var samples: [Neighbour: Sample] = [:]
        for neighbour in Neighbour.allCases.rotated(by: round) {
            let cost = try cost(neighbour)
            let (run, messages) = Self.questions(to: neighbour, rate: 100)
            let asking = try site.bench.start(run, messages, from: lab)
            samples[neighbour] = try sample()
            samples[neighbour]?.cost = cost
            let tally = try asking.end()
            guard neighbour == .none ? tally.accepted > 0 : tally.accepted == 0, tally.sent > 0 else {
                throw Unfulfilled(description: "\(neighbour) was asked: \(tally)")
            }
        }
        try lab.control("kill", "spare-rpcbind", "CONT")
        try site.router.stop()
        return samples
    }

    /// The processor time of a question, while nobody asks anything else.
    private func cost(_ neighbour: Neighbour) throws -> Double {
        var (run, messages) = Self.questions(to: neighbour, rate: 1000)
        run.seconds = 2
        let processes = family(of: try site.lab.pid("rpcwarden"))
        let before = processorSeconds(processes)
        let tally = try site.bench.load(run, messages, from: site.lab)
        return (processorSeconds(processes) - before) / Double(max(tally.sent, 1)) * 1e6
    }

    /// The median of slices would hide a stall: each run lasts as long as several time-outs of a question.
    private func sample() throws -> Sample {
        var many = LoadRun()
        many.seconds = 3
        var one = LoadRun(inFlight: 1)
        one.seconds = 3
        _ = try site.load(LoadRun(), .getPort([.mountd]))
        return Sample(many: try answered(many), one: try answered(one))
    }

    private func answered(_ run: LoadRun) throws -> Tally {
        let tally = try site.load(run, .getPort([.mountd]))
        guard tally.accepted == tally.answered, tally.empty == 0 else {
            throw Unfulfilled(description: "look-ups at the good server were refused: \(tally)")
        }
        return tally
    }
}
