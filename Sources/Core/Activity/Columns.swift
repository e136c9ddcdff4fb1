/// A table of bounded width: columns that don't fit are left out, from the right.
struct Columns {
    struct Column {
        enum Fit {
            /// For numbers.
            case right
            case left
            /// May be cut to the rest of the line.
            case cut
        }

        var heading: String
        var fit: Fit

        init(_ heading: String, _ fit: Fit) {
            self.heading = heading
            self.fit = fit
        }
    }

    var columns: [Column]
    var rows: [[Field]]

    private static let gap = 2
    /// A column that is cut shorter than this is of no use.
    private static let cutColumnsMin = 10

    func lines(columns width: Int) -> [Line] {
        let table = withoutEmptyColumns
        return table.lines(table.widths(within: width))
    }

    private func lines(_ widths: [Int]) -> [Line] {
        [line(columns.map { Field($0.heading, .heading) }, widths)] + rows.map { line($0, widths) }
    }

    /// A column that is empty in every row makes room for others.
    private var withoutEmptyColumns: Columns {
        let kept = columns.indices.filter { index in
            index == 0 || rows.contains { $0[index].text.width > 0 }
        }
        return Columns(columns: kept.map { columns[$0] }, rows: rows.map { row in kept.map { row[$0] } })
    }

    private func widths(within width: Int) -> [Int] {
        var widths: [Int] = []
        var rest = width
        for (index, column) in columns.enumerated() {
            let natural = ([DisplayText(column.heading)] + rows.map { $0[index].text }).map(\.width).max() ?? 0
            let available = rest - (index == 0 ? 0 : Self.gap)
            let canCut = index == 0 || column.fit == .cut && available >= Self.cutColumnsMin
            guard natural <= available || canCut else { break }
            let taken = min(natural, available)
            widths.append(taken)
            rest = available - taken
        }
        return widths
    }

    private func line(_ fields: [Field], _ widths: [Int]) -> Line {
        var line = Line()
        for (index, width) in widths.enumerated() {
            let text = fields[index].text.cut(to: width)
            if index > 0 { line.append(spaces: Self.gap) }
            if columns[index].fit == .right { line.append(spaces: width - text.width) }
            line.append(text, fields[index].emphasis)
            if columns[index].fit != .right { line.append(spaces: width - text.width) }
        }
        return line
    }
}
