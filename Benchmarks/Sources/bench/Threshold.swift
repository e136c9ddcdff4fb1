import Foundation

/// A bound on one cell of a table, from Benchmarks/thresholds.json, in the unit of the cell's column.
///
/// Shape: `{"table": "size", "row": "the binary, stripped", "column": "size", "maximum": 25}`, or with `minimum`.
struct Threshold: Decodable {
    enum Bound: Equatable { case minimum(Double), maximum(Double) }

    var table, row, column: String
    var bound: Bound

    private enum CodingKeys: CodingKey { case table, row, column, minimum, maximum }

    init(from decoder: any Decoder) throws {
        let keys = try decoder.container(keyedBy: CodingKeys.self)
        table = try keys.decode(String.self, forKey: .table)
        row = try keys.decode(String.self, forKey: .row)
        column = try keys.decode(String.self, forKey: .column)
        switch (
            try keys.decodeIfPresent(Double.self, forKey: .minimum),
            try keys.decodeIfPresent(Double.self, forKey: .maximum)
        ) {
        case (let minimum?, nil): bound = .minimum(minimum)
        case (nil, let maximum?): bound = .maximum(maximum)
        case (nil, nil), (_?, _?):
            throw DecodingError.dataCorruptedError(
                forKey: .minimum, in: keys, debugDescription: "\(row): either a minimum or a maximum is needed")
        }
    }

    static func read(_ path: String) throws -> [Threshold] {
        try JSONDecoder().decode([Threshold].self, from: Data(contentsOf: URL(fileURLWithPath: path)))
    }
}

/// Figures beside their thresholds. A table without figures was not measured, and isn't compared.
struct ThresholdComparison: Equatable {
    var compared = 0
    /// A line for each threshold that is missed.
    var missed: [String] = []

    init(_ thresholds: [Threshold], _ figures: [Figure]) {
        for threshold in thresholds where figures.contains(where: { $0.table == threshold.table }) {
            compared += 1
            if let line = threshold.missed(by: figures) { missed.append(line) }
        }
    }
}

extension Threshold {
    fileprivate func missed(by figures: [Figure]) -> String? {
        let figure = figures.first { $0.table == table && $0.name == row }
        let place = "\(table), \(row): \(column)"
        // Otherwise a new name would end the comparison.
        guard let cell = figure?.cells.first(where: { $0.column == column }) else { return "missing: \(place)" }
        let value = cell.spread.median
        // No figure at all (NaN) meets neither.
        switch bound {
        case .minimum(let minimum) where !(value >= minimum):
            return "below: \(place) \(cell.unit.exact(value)), at least \(cell.unit.exact(minimum))"
        case .maximum(let maximum) where !(value <= maximum):
            return "above: \(place) \(cell.unit.exact(value)), at most \(cell.unit.exact(maximum))"
        case .minimum, .maximum: return nil
        }
    }
}

extension Unit {
    /// With more digits than a table's: a value just beyond a bound looks like one.
    fileprivate func exact(_ value: Double) -> String {
        let number = String(format: "%.4g", value)
        return self == .ratio || self == .count ? number : "\(number) \(rawValue)"
    }
}
