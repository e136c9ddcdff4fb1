import Activity

/// The report for a terminal.
extension Report {
    public var text: String { TextPage(Outline(self, rowsMax: TextPage.rowsMax)).text }
}

struct TextPage {
    static let rowsMax = 20
    private static let stepsMax = 31
    private static let columns = 78

    private(set) var text = ""

    init(_ outline: Outline) {
        addHeading(outline.title, "=")
        add(outline.subtitle)
        addHeading("Summary", "-")
        for sentence in outline.summary { add(sentence) }
        add(outline.figures.map { [$0.number, $0.label] }, numeric: [0])
        for section in outline.sections { add(section) }
        text += "\n"
        for line in outline.footer { add(line) }
    }

    private mutating func addHeading(_ title: String, _ sign: String) {
        let title = DisplayText(title)
        if !text.isEmpty { text += "\n" }
        text += "\(title)\n\(String(repeating: sign, count: title.width))\n"
    }

    /// A paragraph, in lines.
    private mutating func add(_ paragraph: String) {
        for line in Paragraph(paragraph).lines(columns: Self.columns) { text += line.text + "\n" }
    }

    private mutating func add(_ section: Outline.Section) {
        addHeading(section.title, "-")
        for paragraph in section.paragraphs { add(paragraph) }
        for table in (section.plot?.table(rowsMax: Self.stepsMax)).map({ [$0] }) ?? [] { add(table) }
        for table in section.tables { add(table) }
    }

    private mutating func add(_ table: Outline.Table) {
        text += "\n"
        if let caption = table.caption { add(caption + ":") }
        if table.commands.isEmpty {
            add([table.headings.map { $0.uppercased() }] + table.rows, numeric: table.numeric)
        } else {
            addRecords(table)
        }
        if let note = table.note { add(note) }
    }

    /// Rows with long cells: a line for each cell.
    private mutating func addRecords(_ table: Outline.Table) {
        let width = table.headings.map(\.count).max() ?? 0
        for (index, row) in table.rows.enumerated() {
            if index > 0 { text += "\n" }
            for (heading, cell) in zip(table.headings, row) {
                for (line, part) in cell.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
                    text += DisplayText(line == 0 ? heading + ":" : "").padded(to: width + 2) + "\(DisplayText(part))\n"
                }
            }
        }
    }

    private mutating func add(_ rows: [[String]], numeric: Set<Int>) {
        let cells = rows.map { $0.map { DisplayText($0) } }
        let widths = (0..<(cells.map(\.count).max() ?? 0)).map { column in
            cells.map { column < $0.count ? $0[column].width : 0 }.max() ?? 0
        }
        for row in cells {
            var line = ""
            for (column, cell) in row.enumerated() {
                if column > 0 { line += "  " }
                let space = String(repeating: " ", count: widths[column] - cell.width)
                line += numeric.contains(column) ? space + cell.description : cell.description + space
            }
            while line.last == " " { line.removeLast() }
            text += line + "\n"
        }
    }
}
