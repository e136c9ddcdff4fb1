import Activity

/// Rows of text in aligned columns, without characters that a terminal would interpret.
public struct Table {
    private var rows: [[DisplayText]]
    private let hasHeading: Bool

    private static let gap = 2

    public init(heading: [String] = [], _ rows: [[String]]) {
        self.rows = ((heading.isEmpty ? [] : [heading]) + rows).map { $0.map { DisplayText($0) } }
        hasHeading = !heading.isEmpty
    }

    /// Prints the table. On a terminal that is too narrow for a table with a heading, its rows are folded.
    public func show() { print(text(within: hasHeading ? Display.size()?.columns : nil)) }

    public var text: String { text(within: nil) }

    /// - Parameter columns: rows are folded between cells to fit this width, all of them at the same cells; `nil`: each
    ///   row is one line.
    public func text(within columns: Int?) -> String {
        let widths = widths
        let parts = columns.map { Self.parts(of: widths, within: $0) } ?? [0..<widths.count]
        return rows.flatMap { row in
            parts.enumerated().compactMap { index, part in
                let cells = part.clamped(to: 0..<row.count)
                if cells.isEmpty { return index == 0 ? "" : nil }
                let padded = cells.map {
                    $0 + 1 == cells.upperBound ? row[$0].description : row[$0].padded(to: widths[$0])
                }
                let gap = String(repeating: " ", count: Self.gap)
                return (index == 0 ? "" : gap) + padded.joined(separator: gap)
            }
        }.joined(separator: "\n")
    }

    private var widths: [Int] {
        let columns = rows.map(\.count).max() ?? 0
        return (0..<columns).map { column in rows.map { column < $0.count ? $0[column].width : 0 }.max() ?? 0 }
    }

    /// The cells of each line of a row; lines after the first are indented.
    private static func parts(of widths: [Int], within columns: Int) -> [Range<Int>] {
        var parts: [Range<Int>] = []
        var (start, width) = (0, 0)
        for (index, cell) in widths.enumerated() {
            if index > start, width + gap + cell > columns {
                parts.append(start..<index)
                (start, width) = (index, gap + cell)
            } else {
                width += (index > start ? gap : 0) + cell
            }
        }
        return parts + [start..<widths.count]
    }
}
