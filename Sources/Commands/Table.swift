import Activity

/// Rows of text in aligned columns, without characters that a terminal would interpret.
struct Table {
    private var rows: [[DisplayText]]

    init(heading: [String] = [], _ rows: [[String]]) {
        self.rows = ((heading.isEmpty ? [] : [heading]) + rows).map { $0.map { DisplayText($0) } }
    }

    var text: String {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in rows.map { column < $0.count ? $0[column].width : 0 }.max() ?? 0 }
        return rows.map { row in
            let cells = row.enumerated().map { index, cell in
                index + 1 == row.count ? cell.description : cell.padded(to: widths[index])
            }
            return cells.joined(separator: "  ")
        }.joined(separator: "\n")
    }
}
