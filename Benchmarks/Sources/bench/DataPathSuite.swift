import Addresses
import Foundation

/// The cost of rpcwarden's table for the traffic of the services, compared with no table, and with a table of a
/// single `ct state` rule.
enum DataPathSuite {
    static let name = "datapath"

    /// The service of iperf3.
    private static let streaming = Service(program: Program(399_999), port: 5201)
    private static let datagrams = Service(program: Program(399_998), port: 5202)
    private static let nfsPrograms: [Program] = [.nfs, .mountd, .nlockmgr, Program(100_011)]

    private enum Path: CaseIterable {
        case none, conntrack, conntrackAgain, lookup, table

        var column: String {
            switch self {
            case .none: "no table"
            case .conntrack, .conntrackAgain: "one `ct state` rule"
            case .lookup: "that and one look-up"
            case .table: "rpcwarden's table"
            }
        }

        /// The ruleset for nft, at the site without rpcwarden.
        var ruleset: String? {
            switch self {
            case .none, .table: nil
            case .conntrack, .conntrackAgain: Self.ruleset(of: "ct state established accept")
            case .lookup: Self.ruleset(of: "ct state new,established ip saddr . meta l4proto . th dport @known accept")
            }
        }

        /// The lookup is in a set like `recent4`: the least work by which the time of a client's last packet can
        /// be found. The small packets get no answer: their flow stays new.
        private static func ruleset(of rule: String) -> String {
            let known = [(IPPROTO_TCP, streaming.port), (IPPROTO_TCP, 2049), (IPPROTO_UDP, datagrams.port)]
                .map { "10.77.1.2 . \($0) . \($1)" }.joined(separator: ", ")
            return """
                table inet base {
                set known { typeof ip saddr . meta l4proto . th dport; size 32768; flags dynamic,timeout
                elements = { \(known) }; }
                chain input { type filter hook input priority -10; \(rule); }; }
                """
        }
    }

    private struct Stage {
        var name: String
        var grants: Int
        var standing = 0
    }

    private static let stages = [
        Stage(name: "1 grant", grants: 1), Stage(name: "1,000 grants", grants: 1000),
        Stage(name: "65,536 grants", grants: 65_536),
        Stage(name: "65,536 grants, 10,000 standing prefixes", grants: 65_536, standing: 10_000),
    ]

    static func measure(_ bench: Bench) throws -> SuiteResult {
        // The services are registered, but iperf3 itself listens.
        let plain = try Site.plain(bench, services: [datagrams])
        let guarded = try Site.guarded(bench, services: [datagrams], morePrograms: nfsPrograms + [streaming.program])
        for site in [plain, guarded] { try startServers(site) }
        var figures: [Figure] = []
        for stage in stages {
            try prepare(guarded, stage)
            figures += try compare(plain, guarded, stage)
        }
        try plain.end()
        try guarded.end()
        return SuiteResult(figures: figures)
    }

    private static func startServers(_ site: Site) throws {
        try site.lab.spawn("iperf3", ["iperf3", "-s", "-p", "\(streaming.port)"])
        try site.lab.write(hexadecimal(streaming.registrations), to: "streaming")
        try site.lab.spawn(
            "streaming",
            [
                "\(site.bench.tools)/load", "listen", "--to", "0.0.0.0", "--port", "1", "--count", "0", "--socket",
                "/run/rpcbind.sock", "--messages", "\(site.lab.state)/streaming",
            ])
        try site.lab.control("ganesha", "start")
        try execute(["head", "-c", "\(fileBytes)", "/dev/zero"], into: "\(site.lab.state)/export/big")
        try site.bench.settle([try site.lab.pid("iperf3"), try site.lab.pid("ganesha")])
    }

    private static let fileBytes = 256 << 20

    /// Makes the grants of many clients, and the grants that the traffic needs.
    private static func prepare(_ site: Site, _ stage: Stage) throws {
        if stage.standing > 0 {
            try site.stop()
            try site.serve(Setting(morePrefixes: stage.standing, areStanding: true))
        }
        // Waits for the next reading of the registry, which guards the new registrations.
        usleep(1_200_000)
        for messages in [Messages.getPort([streaming.program]), .getPort([datagrams.program], .udp)] {
            _ = try load(site, LoadRun(inFlight: 1, calls: 1), messages)
        }
        let have = try site.counts()["grants"] ?? 0
        guard stage.grants > have else { return }
        let missing = stage.grants - have
        _ = try load(
            site, LoadRun(calls: missing, sources: "10.78.\(have / 256).\(have % 256)/\(missing)"),
            .getPort([datagrams.program], .udp))
    }

    private static func load(_ site: Site, _ run: LoadRun, _ messages: Messages) throws -> Tally {
        let tally = try site.bench.load(run, messages, from: site.lab)
        guard tally.accepted == tally.sent, tally.empty == 0 else {
            throw Unfulfilled(description: "not all were served: \(tally)")
        }
        return tally
    }

    // MARK: Measures

    private static let measures:
        [(name: String, unit: Unit, allowed: Double, measure: @Sendable (Site) throws -> Double)] = [
            ("TCP stream", .megabits, 0.98, stream), ("NFSv3 read", .megabits, 0.98, read),
            ("small UDP", .perSecond, 0.95, packets),
        ]

    /// A short disturbance of the machine affects one slice, on any path; a round's figure is the median of its
    /// slices.
    private static let slicesPerRound = 5

    private static func compare(_ plain: Site, _ guarded: Site, _ stage: Stage) throws -> [Figure] {
        try measures.map { name, unit, allowed, measure in
            var samples: [Path: [Double]] = [:]
            for _ in 0..<plain.bench.rounds {
                var slices: [Path: [Double]] = [:]
                for slice in 0..<slicesPerRound {
                    for path in Path.allCases.rotated(by: slice) {
                        let site = path == .table ? guarded : plain
                        if let ruleset = path.ruleset { try plain.lab.serverRuns(["nft", ruleset]) }
                        slices[path, default: []].append(try measure(site))
                        if path.ruleset != nil { try plain.lab.serverRuns(["nft", "delete table inet base"]) }
                    }
                }
                for (path, values) in slices { samples[path, default: []].append(Spread(values).median) }
            }
            let (table, base) = (samples[.table] ?? [], samples[.conntrack] ?? [])
            return Figure(
                Self.name, "\(name), \(stage.name)",
                [Path.none, .conntrack, .lookup, .table].map { .init($0.column, unit, samples[$0] ?? []) }
                    + [
                        .init("of one rule", .ratio, quotients(table, by: base)),
                        // The meaning of a ratio: the same path, measured twice in the same way.
                        .init("one rule twice", .ratio, quotients(samples[.conntrackAgain] ?? [], by: base)),
                        .init("the look-up, of one rule", .ratio, quotients(samples[.lookup] ?? [], by: base)),
                        .init("of no table", .ratio, quotients(table, by: samples[.none] ?? [])),
                    ]
            ).atLeast(allowed, "of one rule")
        }
    }

    @Sendable private static func stream(_ site: Site) throws -> Double {
        try iperfMegabits(site.bench, from: site.lab, to: "10.77.1.1", port: streaming.port)
    }

    @Sendable private static func read(_ site: Site) throws -> Double {
        let began = Date()
        try execute(
            site.lab.entry("approved") + site.bench.priority + ["nfs-cat", "nfs://10.77.1.1/export/big"],
            into: "/dev/null")
        return 8 * Double(fileBytes) / 1e6 / Date().timeIntervalSince(began)
    }

    /// Packets a second. No process reads them: the measured way ends at the socket, and the sender's processor
    /// does the veth's work.
    @Sendable private static func packets(_ site: Site) throws -> Double {
        let tally = try site.bench.load(
            LoadRun(kind: "flood", port: datagrams.port, seconds: 0.4), .getPort([.mountd]), from: site.lab)
        return Double(tally.sent) / tally.seconds
    }
}

/// Megabits a second from the approved client to an iperf3 server.
func iperfMegabits(_ bench: Bench, from lab: Lab, to address: String, port: Int) throws -> Double {
    struct Result: Decodable {
        struct End: Decodable { var sum_received: Sum }
        struct Sum: Decodable { var bits_per_second: Double }
        var end: End
    }
    let text = try execute(
        lab.entry("approved") + bench.priority + ["iperf3", "-c", address, "-p", "\(port)", "-n", "400M", "-J"])
    return try JSONDecoder().decode(Result.self, from: Data(text.utf8)).end.sum_received.bits_per_second / 1e6
}

extension Array {
    func rotated(by count: Int) -> [Element] {
        let start = count % self.count
        return Array(self[start...] + self[..<start])
    }
}
