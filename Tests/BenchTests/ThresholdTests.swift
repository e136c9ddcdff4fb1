import Foundation
import Testing

@Suite("the benchmarks' thresholds") struct ThresholdTests {
    private static let thresholds = """
        [{"table": "a", "row": "r", "column": "of b", "minimum": 0.6},
         {"table": "a", "row": "s", "column": "size", "maximum": 25}]
        """

    private func read(_ text: String) throws -> [Threshold] {
        try JSONDecoder().decode([Threshold].self, from: Data(text.utf8))
    }

    private func comparison(_ ratio: Double, _ size: Double) throws -> ThresholdComparison {
        ThresholdComparison(
            try read(Self.thresholds),
            [
                Figure("a", "r", [.init("time", .seconds, 1e9), .init("of b", .ratio, ratio)]),
                Figure("a", "s", [.init("size", .megabytes, size)]),
            ])
    }

    @Test("a figure beyond its bound is missed, and named with the bound")
    func beyond() throws {
        #expect(
            try comparison(0.5999, 25.01).missed == [
                "below: a, r: of b 0.5999, at least 0.6", "above: a, s: size 25.01 MB, at most 25 MB",
            ])
    }

    @Test("no figure is missed too: a ratio of nothing, a row or a column with another name")
    func noFigure() throws {
        #expect(try comparison(.nan, 1).missed == ["below: a, r: of b nan, at least 0.6"])
        let renamed = [Figure("a", "R", [.init("of b", .ratio, 9)]), Figure("a", "s", [.init("Size", .megabytes, 9)])]
        #expect(
            ThresholdComparison(try read(Self.thresholds), renamed).missed == [
                "missing: a, r: of b", "missing: a, s: size",
            ])
    }

    @Test("a figure at its bound or within is not missed; the median of the rounds counts")
    func within() throws {
        for (ratio, size) in [(0.6, 25.0), (2, 1), (.infinity, 0)] {
            let comparison = try comparison(ratio, size)
            #expect(comparison.missed == [] && comparison.compared == 2)
        }
        let rounds = [
            Figure("a", "r", [.init("of b", .ratio, [0.1, 0.7, 0.8])]),
            Figure("a", "s", [.init("size", .megabytes, 1)]),
        ]
        #expect(ThresholdComparison(try read(Self.thresholds), rounds).missed == [])
    }

    @Test("a table that was not measured is not compared")
    func otherTable() throws {
        let comparison = ThresholdComparison(
            try read(Self.thresholds), [Figure("b", "r", [.init("of b", .ratio, 0.1)])])
        #expect(comparison.missed == [] && comparison.compared == 0)
    }

    @Test(
        "a threshold without a bound, with two, or without a place is refused",
        arguments: [
            #"[{"table": "a", "row": "r", "column": "c"}]"#,
            #"[{"table": "a", "row": "r", "column": "c", "minimun": 1}]"#,
            #"[{"table": "a", "row": "r", "column": "c", "minimum": 1, "maximum": 2}]"#,
            #"[{"table": "a", "row": "r", "minimum": 1}]"#,
            #"[{"table": "a", "row": "r", "column": "c", "minimum": "1"}]"#,
        ])
    func malformed(text: String) {
        #expect(throws: DecodingError.self) { try read(text) }
    }
}
