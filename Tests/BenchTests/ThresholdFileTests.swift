import Foundation
import Testing

/// Benchmarks/thresholds.json beside the tables of docs/PERFORMANCE.md, which name the targets.
@Suite("Benchmarks/thresholds.json") struct ThresholdFileTests {
    private let thresholds: [Threshold]
    /// By table, row and column.
    private let cells: [[String]: String]

    init() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        thresholds = try Threshold.read(root.appendingPathComponent("Benchmarks/thresholds.json").path)
        cells = Self.cells(
            of: try String(contentsOf: root.appendingPathComponent("docs/PERFORMANCE.md"), encoding: .utf8))
    }

    private static func cells(of document: String) -> [[String]: String] {
        var cells: [[String]: String] = [:]
        var (table, columns) = ("", [String]())
        for line in document.split(separator: "\n") {
            if line.hasPrefix("<!-- bench: ") {
                (table, columns) = (String(line.dropFirst(12).dropLast(4)), [])
            } else if line == "<!-- end of bench -->" {
                table = ""
            } else if !table.isEmpty, line.hasPrefix("| ") {
                let words = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
                if columns.isEmpty {
                    columns = words
                } else {
                    for (column, word) in zip(columns, words).dropFirst() { cells[[table, words[0], column]] = word }
                }
            }
        }
        return cells
    }

    @Test("each threshold is on a cell that there is, on a ratio, a size or memory, never on a time or a rate")
    func places() throws {
        #expect(thresholds.count > 20)
        #expect(Set(thresholds.map { [$0.table, $0.row, $0.column] }).count == thresholds.count)
        for threshold in thresholds {
            let cell = try #require(cells[[threshold.table, threshold.row, threshold.column]], "\(threshold)")
            #expect(cell.wholeMatch(of: /[\d.]+( MB| \(.*\))?/) != nil, "\(threshold): \(cell)")
        }
    }

    @Test("each target that is a ratio, a size or memory has a threshold, which is no stricter")
    func targets() throws {
        let targets = cells.filter { $0.key[2] == "target" && $0.value.contains(/\ \d+\.\d\d$|\ MB$/) }
        #expect(targets.count > 20)
        for (place, target) in targets {
            let threshold = try #require(
                thresholds.first { $0.table == place[0] && $0.row == place[1] }, "\(place): no threshold")
            let words = try #require(target.wholeMatch(of: /(.*) [≥≤] ([\d.]+)( MB)?/), "\(target)")
            guard words.1 == threshold.column, let limit = Double(words.2) else { continue }
            switch threshold.bound {
            case .minimum(let minimum): #expect(target.contains("≥") && minimum <= limit, "\(place)")
            case .maximum(let maximum): #expect(target.contains("≤") && maximum >= limit, "\(place)")
            }
        }
    }
}
