import Foundation

/// docs/PERFORMANCE.md: its tables and pictures are generated here from the JSON, and never edited by hand.
struct Document {
    let root: String
    let report: Report

    private static let begin = "<!-- bench: "
    private static let end = "<!-- end of bench -->"

    /// Rewrites the text between `<!-- bench: NAME -->` and `<!-- end of bench -->`.
    func write() throws {
        let path = "\(root)/docs/PERFORMANCE.md"
        var lines: [Substring] = []
        var isReplaced = false
        for line in contents(path).split(separator: "\n", omittingEmptySubsequences: false) {
            if line == Self.end { isReplaced = false }
            if !isReplaced { lines.append(line) }
            guard line.hasPrefix(Self.begin), line.hasSuffix(" -->") else { continue }
            isReplaced = true
            lines.append("\n\(text(of: String(line.dropFirst(Self.begin.count).dropLast(4))))\n")
        }
        guard !isReplaced else { throw Unfulfilled(description: "\(path): a table has no end") }
        try lines.joined(separator: "\n").write(toFile: path, atomically: true, encoding: .utf8)
        try writePlots()
    }

    private func text(of name: String) -> String {
        switch name {
        case "machine": machine
        case "worked out": Table(WorkedOut(report).figures).text
        default: report.tables.first { $0.name == name }.map { Table($0.figures).text } ?? "Not measured yet."
        }
    }

    private var machine: String {
        allSuites.compactMap { suite in
            report.parts[suite.name].map { part in
                let machine = part.machine
                return "- `\(suite.name)`: \(machine.date), \(machine.processors) × \(machine.processor), "
                    + "kernel \(machine.kernel), load \(machine.load) before it began, \(machine.rounds) rounds"
                    + (machine.isRealtime ? ", real-time priority" : "")
            }
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
