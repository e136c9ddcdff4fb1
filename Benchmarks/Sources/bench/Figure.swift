import Foundation

enum Unit: String, Codable {
    case perSecond = "/s"
    case ratio = "×"
    case nanoseconds = "ns"
    case microseconds = "µs"
    case milliseconds = "ms"
    case seconds = "s"
    case megabytes = "MB"
    case megabits = "Mbit/s"
    case count = ""
    case bytes = "B"

    func text(_ value: Double) -> String {
        guard value.isFinite else { return "–" }
        let number =
            switch self {
            case .perSecond, .count:
                value >= 1e6
                    ? String(format: "%.2fM", value / 1e6)
                    : value >= 10_000 ? String(format: "%.0fk", value / 1e3) : String(format: "%.0f", value)
            case .ratio: String(format: "%.2f", value)
            default: String(format: value >= 100 ? "%.0f" : value >= 10 ? "%.1f" : "%.2f", value)
            }
        return self == .ratio || self == .count ? number : "\(number) \(rawValue)"
    }

    func text(_ spread: Spread) -> String {
        guard spread.low != spread.high else { return text(spread.median) }
        return "\(text(spread.median)) (\(bare(spread.low))–\(bare(spread.high)))"
    }

    private func bare(_ value: Double) -> String { text(value).replacingOccurrences(of: " \(rawValue)", with: "") }
}

/// One line of a table: the measurements of each contender, the values derived from them, and whether they meet
/// the target.
struct Figure: Codable {
    struct Cell: Codable {
        var column: String
        var unit: Unit
        var spread: Spread

        init(_ column: String, _ unit: Unit, _ samples: [Double]) {
            (self.column, self.unit, self.spread) = (column, unit, Spread(samples))
        }

        init(_ column: String, _ unit: Unit, _ value: Double) { self.init(column, unit, [value]) }

        var text: String { unit.text(spread) }
    }

    struct Target: Codable {
        var column: String
        var isAtLeast: Bool
        var limit: Double
        var unit: Unit
        var value: Double

        var isMet: Bool { isAtLeast ? value >= limit : value <= limit }
        var text: String { "\(column) \(isAtLeast ? "≥" : "≤") \(unit.text(limit))" }
    }

    /// The document's table that it belongs to; a suite may have several.
    var table: String
    var name: String
    var cells: [Cell]
    var target: Target?

    init(_ table: String, _ name: String, _ cells: [Cell]) {
        (self.table, self.name, self.cells) = (table, name, cells)
    }

    func atLeast(_ limit: Double, _ column: String) -> Figure { judged(limit, column, isAtLeast: true) }
    func atMost(_ limit: Double, _ column: String) -> Figure { judged(limit, column, isAtLeast: false) }

    private func judged(_ limit: Double, _ column: String, isAtLeast: Bool) -> Figure {
        guard let cell = cells.first(where: { $0.column == column }) else { preconditionFailure("no \(column)") }
        var figure = self
        figure.target = Target(
            column: column, isAtLeast: isAtLeast, limit: limit, unit: cell.unit, value: cell.spread.median)
        return figure
    }

    subscript(column: String) -> Double? { cells.first { $0.column == column }?.spread.median }
}
