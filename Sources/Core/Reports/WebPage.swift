/// The report as one HTML file without script and without references to anything outside.
extension Report {
    public var html: String { WebPage(Outline(self, rowsMax: WebPage.rowsMax)).text }
}

struct WebPage {
    static let rowsMax = 100

    private(set) var text = ""

    init(_ outline: Outline) {
        let title = HTMLText.escaped(outline.title)
        text = """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta http-equiv="Content-Security-Policy" content="\(Self.policy)">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta name="referrer" content="no-referrer">
            <meta name="color-scheme" content="light dark">
            <title>\(title)</title>
            <style>\(WebPageStyle.text)</style>
            </head>
            <body>
            <header>
            <h1>\(title)</h1>
            <p class="muted">\(HTMLText.escaped(outline.subtitle))</p>
            </header>
            <main>

            """
        addSummary(outline)
        for section in outline.sections { add(section) }
        text += "</main>\n<footer>\n"
        for line in outline.footer { text += "<p>\(HTMLText.escaped(line))</p>\n" }
        text += "</footer>\n</body>\n</html>\n"
    }

    private static let policy =
        "default-src 'none'; style-src '\(WebPageStyle.hash)'; base-uri 'none'; form-action 'none'"

    private mutating func addSummary(_ outline: Outline) {
        text += "<section id=\"summary\">\n<h2>Summary</h2>\n"
        for sentence in outline.summary { text += "<p>\(HTMLText.escaped(sentence))</p>\n" }
        text += "<dl class=\"figures\">\n"
        for figure in outline.figures {
            let tone =
                switch figure.tone {
                case .plain: "plain"
                case .good: "good"
                case .bad: "bad"
                }
            text += "<div class=\"\(tone)\"><dt>\(HTMLText.escaped(figure.label))</dt>"
            text += "<dd>\(HTMLText.escaped(figure.number))</dd></div>\n"
        }
        text += "</dl>\n<nav aria-label=\"Contents\"><ul>\n"
        for section in outline.sections {
            text += "<li><a href=\"#\(section.name)\">\(HTMLText.escaped(section.title))</a></li>\n"
        }
        text += "</ul></nav>\n</section>\n"
    }

    private mutating func add(_ section: Outline.Section) {
        text += "<section id=\"\(section.name)\">\n<h2>\(HTMLText.escaped(section.title))</h2>\n"
        for paragraph in section.paragraphs { text += "<p>\(HTMLText.escaped(paragraph))</p>\n" }
        if let plot = section.plot { add(plot, section.name) }
        for table in section.tables { add(table) }
        text += "</section>\n"
    }

    private mutating func add(_ plot: Plot, _ name: String) {
        text += "<figure>\n<figcaption>\(HTMLText.escaped(PlotDrawing.caption(plot)))</figcaption>\n"
        text += PlotDrawing.svg(plot, name: name) + "\n"
        let legend = PlotDrawing.legend(plot)
        if !legend.isEmpty {
            text += "<ul class=\"legend\">"
            for (index, entry) in legend.enumerated() {
                text += "<li><i class=\"s\(index)\"></i>\(HTMLText.escaped(entry))</li>"
            }
            text += "</ul>\n"
        }
        text += "</figure>\n"
        if let table = plot.table(rowsMax: Self.stepsMax) {
            text += "<details>\n<summary>The values of this plot</summary>\n"
            add(table)
            text += "</details>\n"
        }
    }

    /// A month of days.
    private static let stepsMax = 31

    private mutating func add(_ table: Outline.Table) {
        text += "<table>\n"
        if let caption = table.caption { text += "<caption>\(HTMLText.escaped(caption))</caption>\n" }
        text += "<thead><tr>"
        for (column, heading) in table.headings.enumerated() {
            text += "<th scope=\"col\"\(Self.alignment(table, column))>\(HTMLText.escaped(heading))</th>"
        }
        text += "</tr></thead>\n<tbody>\n"
        for row in table.rows {
            text += "<tr>"
            for (column, cell) in row.enumerated() {
                let label = HTMLText.escaped(table.headings[column])
                text +=
                    "<td data-label=\"\(label)\"\(Self.alignment(table, column))>\(Self.cell(table, column, cell))</td>"
            }
            text += "</tr>\n"
        }
        text += "</tbody>\n</table>\n"
        if let note = table.note { text += "<p class=\"muted\">\(HTMLText.escaped(note))</p>\n" }
    }

    private static func alignment(_ table: Outline.Table, _ column: Int) -> String {
        if table.numeric.contains(column) { return " class=\"n\"" }
        return table.commands.contains(column) ? " class=\"c\"" : ""
    }

    private static func cell(_ table: Outline.Table, _ column: Int, _ text: String) -> String {
        guard table.commands.contains(column) else { return "<span>\(HTMLText.escaped(text))</span>" }
        let lines = text.split(separator: "\n").map { "<code>\(HTMLText.escaped(String($0)))</code>" }
        return "<span>\(lines.joined(separator: "<br>"))</span>"
    }
}
