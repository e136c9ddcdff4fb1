/// The servers that receive the same calls, in turn.
enum Contender: String {
    case echo = "C echo"
    /// Shows the cost of conntrack and rpcwarden's rules for any server behind them.
    case guardedEcho = "C echo behind our table"
    /// Shows the cost of the system calls, behind the table, of a proxy that asks rpcbind and has no other work:
    /// no policy, no limits, no log.
    case relay = "C relay behind our table"
    case direct = "rpcbind"
    case rpcwarden

    static let ordinary: [Contender] = [.echo, .direct, .rpcwarden]

    var isEcho: Bool { self == .echo || self == .guardedEcho }
    var isGuarded: Bool { self == .rpcwarden || self == .guardedEcho || self == .relay }

    /// `nil`: port 111.
    var port: Int? {
        switch self {
        case .echo, .guardedEcho: Site.echoPort
        case .relay: Site.relayPort
        case .direct, .rpcwarden: nil
        }
    }
}

/// Both servers.
struct Sites {
    var plain: Site
    var guarded: Site

    init(_ bench: Bench, services: [Service] = Service.list(20), _ setting: Setting = Setting()) throws {
        plain = try Site.plain(bench, services: services)
        guarded = try Site.guarded(bench, services: services, setting)
    }

    func end() throws {
        try plain.end()
        try guarded.end()
    }

    func load(_ contender: Contender, _ run: LoadRun, _ messages: Messages) throws -> Tally {
        var run = run
        if let port = contender.port { run.port = port }
        let site = contender.isGuarded ? guarded : plain
        return try site.bench.load(run, messages, from: site.lab)
    }

    func workers(_ contender: Contender) throws -> [Int32] {
        switch contender {
        case .echo: [try plain.lab.pid("echo")]
        case .guardedEcho: [try guarded.lab.pid("echo")]
        case .relay: [try guarded.lab.pid("relay"), try guarded.lab.pid("rpcbind")]
        case .direct: try plain.workers()
        case .rpcwarden: try guarded.workers()
        }
    }
}

/// The same calls to each contender, round after round.
struct Comparison {
    var rates: [Contender: [Double]] = [:]
    var tallies: [Contender: [Tally]] = [:]
    /// Microseconds of processor time for each answered call.
    var costs: [Contender: [Double]] = [:]

    init(_ contenders: [Contender], _ sites: Sites, _ run: LoadRun, _ messages: Messages) throws {
        let bench = sites.plain.bench
        for round in 0...bench.rounds {
            for contender in contenders {
                let workers = try sites.workers(contender)
                let before = processorSeconds(workers)
                let tally = try sites.load(contender, run, messages)
                let cost = (processorSeconds(workers) - before) / Double(max(tally.answered, 1))
                guard contender.isEcho || tally.accepted == tally.answered, tally.empty == 0 else {
                    throw Unfulfilled(description: "\(contender) refused calls: \(tally)")
                }
                // The first round opens the ports and warms the caches.
                guard round > 0 else { continue }
                rates[contender, default: []].append(tally.rate)
                tallies[contender, default: []].append(tally)
                costs[contender, default: []].append(cost * 1e6)
            }
        }
    }

    func ratios(to other: Contender) -> [Double] { quotients(rates[.rpcwarden] ?? [], by: rates[other] ?? []) }
}
