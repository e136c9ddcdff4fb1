import Addresses
import Clock
import Reports

extension FuzzTarget {
    /// Lines of audit logs, and the report that comes of them.
    static let report = FuzzTarget(name: "report", allocationFactor: nil) { bytes in
        var tally = Tally()
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            if let logged = LoggedEvent(line: Array(line)) {
                tally.note(logged, source: "file")
            } else {
                tally.skipLine()
            }
        }
        let report = Report(
            tally, Report.Surroundings(created: Timestamp(milliseconds: 0), version: "", host: "", sources: []))
        for text in [report.text, report.json, report.markdown, report.html] {
            require(text.unicodeScalars.allSatisfy(isShowable), text)
        }
        require(!report.html.contains("<script"), report.html)
    }
}

private func isShowable(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control: scalar == "\n"
    case .format, .lineSeparator, .paragraphSeparator: false
    case _: true
    }
}
