import Foundation

/// docs/PERFORMANCE.md: its tables and pictures are generated here from the JSON, and never edited by hand.
struct Document {
    let root: String
    let report: Report

    private static let begin = "<!-- bench: "
    private static let end = "<!-- end of bench -->"

    /// Rewrites the text between `<!-- bench: NAME -->` and `<!-- end of bench -->`. A table that the JSON lacks
    /// stays as it is.
    func write() throws {
        let path = "\(root)/docs/PERFORMANCE.md"
        var lines: [Substring] = []
        /// The table that is being read: its name, and its lines so far.
        var table: (name: String, lines: [Substring])?
        for line in contents(path).split(separator: "\n", omittingEmptySubsequences: false) {
            if line == Self.end, let (name, old) = table {
                lines += text(of: name, old).map { ["", Substring($0), ""] } ?? old
                table = nil
            }
            if table == nil { lines.append(line) } else { table?.lines.append(line) }
            guard line.hasPrefix(Self.begin), line.hasSuffix(" -->") else { continue }
            table = (String(line.dropFirst(Self.begin.count).dropLast(4)), [])
        }
        guard table == nil else { throw Unfulfilled(description: "\(path): a table has no end") }
        try lines.joined(separator: "\n").write(toFile: path, atomically: true, encoding: .utf8)
        try writePlots()
    }

    /// - Returns: `nil` if the report has no such table.
    private func text(of name: String, _ old: [Substring]) -> String? {
        switch name {
        case "machine": return machine(old)
        case "worked out":
            let figures = WorkedOut(report).figures
            return figures.allSatisfy { $0.cells.allSatisfy { $0.spread.median.isFinite } } ? Table(figures).text : nil
        default: return report.tables.first { $0.name == name }.map { Table($0.figures).text }
        }
    }

    /// - Parameter old: the lines of earlier runs, of which those of other suites stay.
    private func machine(_ old: [Substring]) -> String {
        allSuites.compactMap { suite in
            report.parts[suite.name].map { part in
                let machine = part.machine
                return "- `\(suite.name)`: \(machine.date), \(machine.processors) × \(machine.processor), "
                    + "kernel \(machine.kernel), load \(machine.load) before it began, \(machine.rounds) rounds"
                    + (machine.isRealtime ? ", real-time priority" : "")
            } ?? old.first { $0.hasPrefix("- `\(suite.name)`:") }.map(String.init)
        }.joined(separator: "\n")
    }

    private func writePlots() throws {
        let folder = "\(root)/docs/plots"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        for plot in report.parts.values.flatMap(\.plots) {
            try plot.svg.write(toFile: "\(folder)/\(plot.name).svg", atomically: true, encoding: .utf8)
        }
    }
}
