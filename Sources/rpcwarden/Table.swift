/// Rows of text in aligned columns.
struct Table {
    private var rows: [[String]]

    init(heading: [String] = [], _ rows: [[String]]) {
        self.rows = (heading.isEmpty ? [] : [heading]) + rows
    }

    var text: String {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
        return rows.map { row in
            let cells = row.enumerated().map { index, cell in
                index + 1 == row.count ? cell : cell + String(repeating: " ", count: widths[index] - cell.count)
            }
            return cells.joined(separator: "  ")
        }.joined(separator: "\n")
    }
}
