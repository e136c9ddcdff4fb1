import Foundation

/// Clusters that boot at once, in virtual time: see Tests/Core/WardenTests/BootStorm.
enum StormSuite {
    static let name = "storm"

    struct Outcome: Decodable {
        var clients, sent, retransmitted, lost, overflowed, refused, commits, grants, mostUnderWay: Int
        var seconds, p50, p99, longest, ran: Double
        var violations: [String]
    }

    static func measure(_ bench: Bench) throws -> SuiteResult {
        SuiteResult(figures: try [100, 1000, 10_000].map { try figure($0, bench) })
    }

    private static func figure(_ clients: Int, _ bench: Bench) throws -> Figure {
        let outcomes = try (1...3).map { seed in
            let text = try execute(["\(bench.tools)/storm", "\(clients)", "\(seed)"])
            return try JSONDecoder().decode(Outcome.self, from: Data(text.utf8))
        }
        for violation in outcomes.flatMap(\.violations) { say("violated: \(violation)") }
        let count = { (path: KeyPath<Outcome, Int>) in outcomes.map { Double($0[keyPath: path]) } }
        return Figure(
            name, "\(clients) clients, 8 lookups each",
            [
                .init("all served after", .seconds, outcomes.map(\.seconds)),
                .init("a lookup, p50", .milliseconds, outcomes.map(\.p50)),
                .init("p99", .milliseconds, outcomes.map(\.p99)),
                .init("datagrams lost", .count, outcomes.map { Double($0.lost + $0.overflowed) }),
                .init("refused (rpcbind stalled)", .count, count(\.refused)),
                .init("most under way", .count, count(\.mostUnderWay)),
                .init("transactions", .count, count(\.commits)), .init("grants", .count, count(\.grants)),
                .init("run took", .seconds, outcomes.map(\.ran)),
                .init("violations", .count, outcomes.map { Double($0.violations.count) }),
            ]
        ).atMost(0, "violations")
    }
}
