/// The minimum time of a grant: the kernel's part, and the wake-ups of the separate process that alone may change
/// the table.
struct GrantFloor {
    /// The number of grants in rpcwarden's transactions with 128 lookups in flight.
    private static let elements = 54
    static let manyName = "the kernel alone, \(elements) grants a transaction"
    /// The interval of lookups that come one by one.
    private static let pauseMicroseconds = 200

    /// Microseconds, one value a round.
    private var wakeups: [Double] = []
    private var look: [Double] = []
    private var single: [Double] = []
    private var element: [Double] = []

    /// Measures in a separate table without rules, in the server of `site`; rpcwarden is idle meanwhile.
    init(_ site: Site, rounds: Int) throws {
        let port = site.services.first?.port ?? 0
        for round in 0..<rounds {
            try Self.makeTable(site)
            wakeups.append(try Self.load(site, "wakeups", calls: 1000))
            look.append(try Self.load(site, "transactions", calls: 1000, round, "--port", "\(port)", "--count", "0"))
            single.append(try Self.load(site, "transactions", calls: 1000, round, "--port", "0", "--count", "1"))
            let many = try Self.load(
                site, "transactions", calls: 200, round + rounds, "--port", "0", "--count", "\(Self.elements)")
            element.append(many / Double(Self.elements))
        }
        try site.lab.serverRuns(["nft", "delete table inet floor"])
    }

    /// Makes the same set as in rpcwarden's table, with nft.
    private static func makeTable(_ site: Site) throws {
        let set = "typeof ip saddr . meta l4proto . th dport; size 98304; flags dynamic,timeout; counter; timeout 1d;"
        try site.lab.serverRuns([
            "nft",
            "add table inet floor; delete table inet floor; add table inet floor; add set inet floor granted4 { \(set) }",
        ])
    }

    /// Returns p50 in microseconds.
    private static func load(_ site: Site, _ kind: String, calls: Int, _ round: Int = 0, _ more: String...) throws
        -> Double
    {
        var words = site.bench.priority + ["\(site.bench.tools)/load", kind, "--calls", "\(calls)"]
        words += ["--pause", "\(pauseMicroseconds)"] + more
        if kind == "transactions" { words += ["--to", "0.0.0.0", "--sources", "10.\(round).0.0/1"] }
        return try Tally(try site.lab.serverRuns(words)).p50 / 1000
    }

    func figures(_ many: Figure) -> [Figure] {
        let kernel = Spread(element).median
        let wall = 1e6 / (many["grants in place"] ?? .nan)
        let processors = many["with the grant in place"] ?? .nan
        let commit = "commit to acknowledgement"
        return [
            figure("two wake-ups, nothing else, p50", .init(commit, .microseconds, wakeups)),
            figure("the kernel alone, p50", .init(commit, .microseconds, single)),
            figure("both: the floor", .init(commit, .microseconds, zip(wakeups, single).map { $0 + $1 })),
            figure("a look at who listens, p50", .init("a grant adds", .microseconds, look)),
            figure(
                Self.manyName,
                .init("of those in place", .ratio, wall / (wall + kernel)),
                .init("CPU a lookup, the load's included", .microseconds, processors + kernel),
                .init("an element", .microseconds, element)),
        ]
    }

    private func figure(_ name: String, _ cells: Figure.Cell...) -> Figure { Figure(GrantSuite.name, name, cells) }
}
