import Activity

/// The report as Markdown, with GitHub's tables.
extension Report {
    public var markdown: String { MarkdownPage(Outline(self, rowsMax: MarkdownPage.rowsMax)).text }
}

struct MarkdownPage {
    static let rowsMax = 50
    private static let stepsMax = 31

    private(set) var text = ""

    init(_ outline: Outline) {
        text = "# \(Self.escaped(outline.title))\n\n\(Self.escaped(outline.subtitle))\n\n## Summary\n\n"
        for sentence in outline.summary { text += "\(Self.escaped(sentence))\n\n" }
        add(
            Outline.Table(
                headings: ["Number", "What"], numeric: [0], rows: outline.figures.map { [$0.number, $0.label] }))
        for section in outline.sections {
            text += "## \(Self.escaped(section.title))\n\n"
            for paragraph in section.paragraphs { text += "\(Self.escaped(paragraph))\n\n" }
            if let table = section.plot?.table(rowsMax: Self.stepsMax) { add(table) }
            for table in section.tables { add(table) }
        }
        text += "---\n\n" + outline.footer.map(Self.escaped).joined(separator: "\n\n") + "\n"
    }

    private mutating func add(_ table: Outline.Table) {
        if let caption = table.caption { text += "\(Self.escaped(caption)):\n\n" }
        text += line(table.headings.map(Self.escaped))
        text += line(table.headings.indices.map { table.numeric.contains($0) ? "---:" : "---" })
        for row in table.rows {
            text += line(
                row.enumerated().map { column, cell in
                    table.commands.contains(column)
                        ? cell.split(separator: "\n").map(Self.code).joined(separator: "<br>") : Self.escaped(cell)
                })
        }
        text += "\n"
        if let note = table.note { text += "\(Self.escaped(note))\n\n" }
    }

    private func line(_ cells: [String]) -> String { "| \(cells.joined(separator: " | ")) |\n" }

    /// Text that is neither markup nor HTML.
    private static func escaped(_ text: String) -> String {
        var escaped = ""
        let scalars = Array(DisplayText(text).description.unicodeScalars)
        for (place, character) in scalars.enumerated() {
            switch character {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            // GitHub makes links of `//`, of `www.`, and of `a@b.c`, where it reads escapes and entities too; a code span
            // ends that. Of several `@` the last one decides.
            case "@": escaped += place + 1 < scalars.count && scalars[place + 1] == "@" ? "@" : "`@`"
            case "." where escaped.suffix(3).lowercased() == "www": escaped += "&#46;"
            case "/": escaped += escaped.last == "/" ? "&#47;" : "/"
            case "\\", "`", "*", "_", "[", "]", "|", "~", "#", "$": escaped += "\\\(character)"
            case _: escaped.unicodeScalars.append(character)
            }
        }
        return escaped
    }

    /// Not a code span: its only escape is another number of backticks.
    private static func code(_ text: Substring) -> String { "<code>\(escaped(String(text)))</code>" }
}
