import Activity
import HostPosture

extension Finding {
    /// The finding for a terminal. Texts are folded; commands are not, so that they can be copied.
    ///
    /// - Parameter columns: the width; `nil`: nothing is folded.
    func lines(columns: Int?) -> [Line] {
        let (lead, indentation) = ("\(severity.rawValue):", "  ")
        let heading = Paragraph(lead, severity.emphasis) + Paragraph("\(what) [\(finding)]")
        var lines = heading.lines(columns: columns, rest: String(repeating: " ", count: lead.count + 1))
        lines += Paragraph("why: \(why)").lines(columns: columns, first: indentation, rest: "       ")
        guard !mend.isEmpty else { return lines }
        lines += Paragraph("mend:").lines(columns: nil, first: indentation)
        for step in mend {
            let isText = step.hasPrefix("#")
            lines += Paragraph(step).lines(columns: isText ? columns : nil, first: "      ", rest: "      # ")
        }
        return lines
    }
}

extension Finding.Severity {
    fileprivate var emphasis: Line.Emphasis {
        switch self {
        case .high: .alarm
        case .medium: .warning
        case .low: .strong
        case .note: .plain
        }
    }
}

extension [Finding] {
    /// All findings, an empty line behind each, and their sum.
    public func lines(columns: Int?) -> [Line] {
        flatMap { $0.lines(columns: columns) + [Line()] } + Paragraph(sum).lines(columns: columns)
    }

    /// `3 findings: 1 high, 2 low. 1 note.`
    private var sum: String {
        let counts = [Finding.Severity.high, .medium, .low].map { severity in
            (severity.rawValue, count { $0.severity == severity })
        }.filter { $0.1 > 0 }
        let notes = count { $0.severity == .note }
        let findings = count - notes
        let head = findings == 0 ? "No findings" : counted(findings, "finding")
        let parts = counts.map { "\($0.1) \($0.0)" }.joined(separator: ", ")
        return head + (parts.isEmpty ? "." : ": \(parts).")
            + (notes == 0 ? "" : " \(counted(notes, "note")).")
    }
}
