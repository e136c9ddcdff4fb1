extension Screen {
    func sourceTable(_ report: ActivityReport) -> Columns {
        let sources = observation.sources
        return Columns(
            columns: [
                .init(title(report.sourceCount, "DENIED SOURCE"), .left), .init("CALLS/S", .right),
                .init("CALLS", .right), .init("LAST", .left), .init("STATE", .left), .init("REASONS", .cut),
                .init("PROGRAMS", .cut),
            ],
            rows: sources.map { source in
                let rate = observation.rate(of: source)
                return [
                    field(source.client, rate ?? 0 > 0 ? .strong : .plain), field(Figures.rate(rate)),
                    field(Figures.count(source.count)), field(last(source)),
                    source.isQuarantined ? field("quarantined", .warning) : field(""),
                    field(source.reasons.joined(separator: " ")), field(source.programs.joined(separator: " ")),
                ]
            })
    }

    private func last(_ source: ActivityReport.Source) -> String {
        source.secondsSinceLast < 2 ? "now" : "\(Figures.span(seconds: source.secondsSinceLast)) ago"
    }

    func grantTable(_ report: ActivityReport) -> Columns {
        Columns(
            columns: [
                .init(title(report.grantCount, "GRANT"), .left), .init("PORT", .left), .init("PACKETS/S", .right),
                .init("PACKETS", .right), .init("PROGRAM", .left), .init("EXPIRES", .left), .init("RULE", .cut),
            ],
            rows: observation.grants.map { grant in
                let rate = observation.rate(of: grant)
                return [
                    field(grant.key.client, rate ?? 0 > 0 ? .strong : .plain), field(grant.key.service),
                    field(Figures.rate(rate)), field(Figures.count(grant.packets)), field(grant.program),
                    field(Figures.span(seconds: grant.secondsLeft)), field(nameFirst(grant.rule)),
                ]
            })
    }

    /// `policy.yaml:14 "workstations mount"` → `workstations mount (policy.yaml:14)`, so that the place is cut
    /// off first.
    private func nameFirst(_ rule: String) -> String {
        guard let quote = rule.firstIndex(of: "\""), rule.last == "\"", quote < rule.index(before: rule.endIndex),
            quote > rule.startIndex
        else { return rule }
        let name = rule[rule.index(after: quote)...].dropLast()
        return "\(name) (\(rule[..<rule.index(before: quote)]))"
    }

    private func title(_ count: Int, _ noun: String) -> String {
        "\(count == 0 ? "NO" : "\(count)") \(noun)\(count == 1 ? "" : "S")"
    }

    /// Names of rules and programs come from files, so they are made safe to display.
    private func field(_ text: String, _ emphasis: Line.Emphasis = .plain) -> Field {
        Field(DisplayText(text, isUnicode: isUnicode), emphasis)
    }
}
