import Foundation

/// The pure parts, each measured separately, in one process without sockets.
enum MicroSuite {
    static let name = "micro"

    private struct Cost: Decodable {
        var name: String
        var nanoseconds: [Double]
        var allocations: Double
    }

    static func measure(_ bench: Bench) throws -> SuiteResult {
        let text = try execute(bench.priority + ["\(bench.tools)/micro"])
        let costs = try JSONDecoder().decode([Cost].self, from: Data(text.utf8))
        return SuiteResult(figures: costs.map(figure))
    }

    private static func figure(_ cost: Cost) -> Figure {
        let figure = Figure(
            name, cost.name,
            [
                .init("time", .nanoseconds, cost.nanoseconds),
                // Tables that grow once do so in the first rounds.
                .init("allocations", .ratio, (cost.allocations * 1000).rounded() / 1000),
            ])
        switch cost.name {
        case "decide, 10 rules, 10 prefixes": return figure.atMost(150, "time")
        case "decide, 10 rules, 10000 prefixes": return figure.atMost(400, "time")
        case "a denied stranger, decoded and judged": return figure.atMost(0.05, "allocations")
        default: return figure
        }
    }
}
