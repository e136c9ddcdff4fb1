/// Figures as a Markdown table, which is readable on a terminal too.
struct Table {
    private var rows: [[String]]

    init(_ figures: [Figure]) {
        var columns: [String] = []
        for cell in figures.flatMap(\.cells) where !columns.contains(cell.column) { columns.append(cell.column) }
        let judges = figures.contains { $0.target != nil }
        rows = [[""] + columns + (judges ? ["target", "met"] : [])]
        for figure in figures {
            let cells = columns.map { column in figure.cells.first { $0.column == column }?.text ?? "" }
            let verdict = figure.target.map { [$0.text, $0.isMet ? "yes" : "**no**"] } ?? ["", ""]
            rows.append([figure.name] + cells + (judges ? verdict : []))
        }
    }

    var text: String {
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        let lines = rows.map { row in
            "| "
                + zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }.joined(separator: " | ")
                + " |"
        }
        let rule = "|" + widths.map { String(repeating: "-", count: $0 + 2) }.joined(separator: "|") + "|"
        return ([lines[0], rule] + lines.dropFirst()).joined(separator: "\n")
    }
}
