import Addresses
import AuditTrail
import Clock

extension Outline {
    /// - Parameter rowsMax: of each table.
    init(_ report: Report, rowsMax: Int) {
        let writer = OutlineWriter(report: report, rowsMax: rowsMax)
        let (tally, surroundings) = (report.tally, report.surroundings)
        title = "Access to RPC services: audit report"
        let span = tally.period.map { "\($0.first) to \($0.last)" } ?? "no events"
        subtitle = "\(span); \(counted(tally.hostNames.names.count, "host"))"
        summary = writer.summary
        figures = writer.figures
        sections = writer.sections
        let unread = surroundings.unread
        let notRead =
            unread.prefix(8).map { "Not read: \($0)." }
            + (unread.count > 8 ? ["Not read: \(unread.count - 8) more files."] : [])
        let made = [
            "Made by rpcwarden \(surroundings.version) on \(surroundings.host) at \(surroundings.created), from "
                + surroundings.sources.prefix(8).joined(separator: ", ")
                + (surroundings.sources.count > 8 ? " and \(surroundings.sources.count - 8) more" : "") + ".",
            "\(counted(tally.linesRead, "line")) read, \(grouped(tally.linesSkipped)) skipped because they are no audit "
                + "events" + (tally.since.map { ", \(grouped(tally.linesOlder)) older than \($0)" } ?? "")
                + ". All times are UTC.",
        ]
        footer = made + notRead
    }
}

/// Puts the sections of a report into words.
struct OutlineWriter {
    let report: Report
    let rowsMax: Int

    var tally: Tally { report.tally }

    // MARK: Summary

    var summary: [String] {
        guard let period = tally.period else { return ["The logs have no audit event in this span."] }
        var sentences = [
            "From \(period.first) to \(period.last), \(counted(tally.hostNames.names.count, "host")) logged "
                + "\(counted(tally.linesRead, "event")). \(counted(report.count(.permitted), "permitted call")) of "
                + "\(atLeast)\(counted(clients.count, "client")) were logged, and ports were opened "
                + "\(counted(report.count(.granted), "time"))."
        ]
        sentences += permittedReservations
        sentences.append(denialSentence)
        sentences.append(abuseSentence)
        sentences.append(tableSentence)
        sentences.append(recordSentence)
        if let posture = report.surroundings.posture {
            sentences.append(
                "\(posture.evidence.control), on \(report.surroundings.host): \(posture.evidence.statement)")
        }
        return sentences
    }

    /// What the lines of permitted calls leave out.
    private var permittedReservations: [String] {
        var sentences: [String] = []
        let hosts = report.hostsWithoutPermitted
        switch report.surroundings.permitted {
        case .noCall?: sentences.append("Permitted calls were not logged: audit.permitted is none.")
        case .first?:
            sentences.append(
                "Permitted calls have one line a day for each client and service: audit.permitted is first.")
        case .all?, nil:
            guard !hosts.isEmpty else { break }
            sentences.append(
                "Ports were opened, and permitted calls were not logged, as with audit.permitted: none, at "
                    + "\(shown(hosts)).")
        }
        if report.permittedSuppressed > 0 {
            sentences.append(
                "The log's limits left out \(counted(report.permittedSuppressed, "line")) that may have told permitted "
                    + "calls.")
        }
        return sentences
    }

    private var atLeast: String { tally.lookups.removedCount > 0 ? "at least " : "" }

    private var clients: [(client: IPAddress, count: Int)] {
        var counts: [IPAddress: Int] = [:]
        for (key, row) in report.lookups { if let client = key.client { counts[client, default: 0] += row.count } }
        let all = counts.filter { $0.value > 0 }.map { (client: $0.key, count: $0.value) }
        return Rank.order(
            all.indices.map { Rank(first: all[$0].count, texts: ["\(all[$0].client)"], place: $0) }
        ).map { all[$0] }
    }

    private var denialSentence: String {
        let count = report.count(.denied)
        guard count > 0 else { return "No call was denied." }
        let sources = Set(report.denials.compactMap(\.key.client)).count
        let (observed, more) = (tally.observedDenials, tally.denials.removedCount > 0 ? "at least " : "")
        let top = reasons.first.map { ", most often as \($0.0) (\(grouped($0.1)))" } ?? ""
        return "\(counted(count, "call")) of \(more)\(counted(sources, "source")) were denied\(top)"
            + (observed > 0
                ? "; observe mode only logged \(grouped(observed)) of these, and let the calls pass." : ".")
    }

    private var abuseSentence: String {
        let scans = Set(report.enumerations.map(\.key.client)).count
        let more = tally.enumerations.removedCount > 0 ? "at least " : ""
        guard scans + report.count(.quarantined) + report.count(.probed) > 0 else {
            return "No source enumerated services, and none sent packets to shut ports."
        }
        return
            "\(more)\(counted(scans, "source")) enumerated services, \(counted(report.count(.probed), "packet")) without a "
            + "grant reached guarded ports, and \(counted(report.count(.quarantined), "quarantine")) began."
    }

    private var tableSentence: String {
        let items = tally.tampering
        guard items.count > 0 else { return "No other program changed the firewall table." }
        let open = items.items.filter { $0.to == nil }.count
        return "Other programs changed the firewall table \(counted(items.count, "time")), for "
            + "\(secondsText(report.tamperedMilliseconds)) s in all until it was restored"
            + (open > 0
                ? "; \(counted(open, "change has no restoration", "changes have no restoration")) in the log." : ".")
    }

    private var recordSentence: String {
        let gaps = tally.gaps.count
        return (gaps > 0 ? "The record has \(counted(gaps, "gap"))" : "The record has no gap")
            + (tally.suppressedCount > 0
                ? "; \(counted(tally.suppressions.count, "time")) the log's limits left out lines, "
                    + "\(grouped(tally.suppressedCount)) in all." : ".")
    }

    var figures: [Outline.Figure] {
        let (denied, tampered, gaps) = (report.count(.denied), tally.tampering.count, tally.gaps.count)
        let refused = report.count(.reloadRefused) + report.count(.policyRefused)
        return [
            .init(number: grouped(report.count(.permitted)), label: "permitted calls logged"),
            .init(number: grouped(denied), label: "calls denied"),
            .init(number: grouped(report.count(.granted)), label: "grants issued"),
            .init(number: grouped(report.count(.probed)), label: "packets without a grant"),
            .init(number: grouped(report.count(.quarantined)), label: "quarantines"),
            .init(number: grouped(tampered), label: "table changes by others", tone: tampered > 0 ? .bad : .good),
            .init(number: grouped(refused), label: "reloads refused", tone: refused > 0 ? .bad : .good),
            .init(number: grouped(gaps), label: "gaps in the record", tone: gaps > 0 ? .bad : .good),
        ]
    }

    // MARK: Sections

    var sections: [Outline.Section] {
        let posture = report.surroundings.posture.map { [evidence($0), findings($0)] } ?? []
        return posture + [
            modes, use, alive, ruleUse, denied, denialSources, enumerations, probes, quarantines, tampering, changes,
            gaps,
        ]
    }

    /// The table; none without rows.
    private func tables(
        _ headings: [String], numeric: Set<Int> = [], _ rows: [[String]], total: Int, others: String? = nil
    ) -> [Outline.Table] {
        guard !rows.isEmpty else { return [] }
        let shown = Array(rows.prefix(rowsMax))
        var notes: [String] = []
        if total > shown.count { notes.append("\(grouped(total - shown.count)) more rows are left out here") }
        if let others { notes.append(others) }
        let note = notes.isEmpty ? nil : notes.joined(separator: "; ") + ". --format json has all that was kept."
        return [Outline.Table(headings: headings, numeric: numeric, rows: shown, note: note)]
    }

    private func evidence(_ posture: Report.Posture) -> Outline.Section {
        let evidence = posture.evidence
        let steps = evidence.steps.map { [$0.command, $0.expected, $0.result] }
        return Outline.Section(
            name: "cis", title: "\(evidence.control): \(evidence.title)",
            paragraphs: ["On \(report.surroundings.host). \(evidence.statement)"] + evidence.remarks,
            tables: [
                Outline.Table(
                    headings: ["Command", "Expected", "Result here"], commands: [0], rows: steps)
            ])
    }

    private func findings(_ posture: Report.Posture) -> Outline.Section {
        let rows = posture.findings.map { finding in
            [
                finding.severity.rawValue, finding.finding, finding.what, finding.why,
                finding.mend.joined(separator: "\n"),
            ]
        }
        let place = "What rpcwarden doctor says of \(report.surroundings.host), where and when this report was made."
        return Outline.Section(
            name: "posture", title: "Posture of \(report.surroundings.host)",
            paragraphs: [place] + (rows.isEmpty ? ["Nothing was found."] : []),
            tables: rows.isEmpty
                ? []
                : [
                    Outline.Table(
                        headings: ["Severity", "Finding", "What", "Why", "Remedy"], commands: [4], rows: rows)
                ])
    }

    private var modes: Outline.Section {
        let rows = tally.modes.items.map { [report.host($0.host), "\($0.at)", $0.mode.rawValue] }
        return Outline.Section(
            name: "modes", title: "Mode, and its changes",
            paragraphs: rows.isEmpty
                ? ["The log doesn't tell the mode."]
                : [
                    "Known from starts, reloads and denials. In observe mode what policy would deny or drop is only logged."
                ],
            tables: tables(["Host", "From", "Mode"], rows, total: tally.modes.count))
    }

    private var use: Outline.Section {
        let hasServers = report.lookups.contains { $0.key.server != nil }
        let rows = report.lookups.map { key, row in
            [text(key.client), text(key.program)] + (hasServers ? [key.server.map { tally.servers[$0] } ?? "-"] : [])
                + [
                    grouped(row.count), grouped(row.others), shown(report.hosts(row.hosts)), "\(row.period.first)",
                    "\(row.period.last)",
                ]
        }
        let headings =
            ["Client", "Program"] + (hasServers ? ["Server"] : []) + ["Calls", "Grants", "Hosts", "First", "Last"]
        let start = hasServers ? 3 : 2
        let others = tally.lookups.others.map {
            "clients with fewer calls made room: \(grouped($0.count)) calls, \(grouped($0.others)) grants"
        }
        return Outline.Section(
            name: "use", title: "Who used what",
            paragraphs: [
                rows.isEmpty ? "No permitted call was logged." : "Permitted calls and the grants that they opened."
            ] + permittedReservations,
            plot: rows.isEmpty
                ? nil
                : .bars(
                    title: "Permitted calls by client",
                    clients.prefix(Plot.barsMax).map { Plot.Bar(label: "\($0.client)", value: $0.count) },
                    others: clients.dropFirst(Plot.barsMax).reduce(0) { $0 + $1.count }
                        + (tally.lookups.others?.count ?? 0)),
            tables: tables(headings, numeric: [start, start + 1], rows, total: rows.count, others: others))
    }

    private var alive: Outline.Section {
        Outline.Section(
            name: "grants", title: "Grants alive",
            paragraphs: [
                "\(counted(report.count(.granted), "grant was issued", "grants were issued")), "
                    + "\(grouped(report.count(.renewed))) renewed, \(grouped(report.count(.expired))) expired, "
                    + "\(grouped(report.count(.revoked))) revoked. A grant whose beginning is not in the log counts from "
                    + "the log's beginning."
            ],
            plot: report.hours.isEmpty
                ? nil : .level(title: "Grants alive", Plot.Times(report.hours.map(\.key)), report.grantsAlive))
    }

    private var ruleUse: Outline.Section {
        let rows = report.rules.map { key, row in
            [key.word ?? "-", grouped(row.count), grouped(row.others), "\(row.period.last)"]
        }
        var paragraphs: [String] = []
        if let unused = report.rulesUnused, let unseen = report.rulesUnseen {
            let hasRules = report.surroundings.rules?.isEmpty == false
            paragraphs.append(
                !hasRules
                    ? "This host's policy has no rules."
                    : unused.isEmpty
                        ? "Every rule of this host's policy that opens on a look-up was used."
                        : "Rules of this host's policy that no call used: \(shown(unused.map(\.label), separator: "; "))."
            )
            if !unused.isEmpty, report.permittedSuppressed > 0 {
                paragraphs.append("Lines that the log's limits left out may name them.")
            }
            if !unseen.isEmpty {
                paragraphs.append(
                    "Rules with open: always that no look-up used: \(shown(unseen.map(\.label), separator: "; ")). Their "
                        + "clients need no look-up, so the log can't tell whether they are used.")
            }
        } else if report.lacksPermitted {
            paragraphs.append("Which rules were never used can't be told: permitted calls were not logged.")
        } else {
            paragraphs.append(
                "Which rules were never used is not told: name the policy of these hosts by --config.")
        }
        return Outline.Section(
            name: "rules", title: "Rules", paragraphs: paragraphs,
            tables: tables(["Rule", "Calls", "Grants", "Last"], numeric: [1, 2], rows, total: rows.count))
    }

    private var reasons: [(String, Int)] {
        let all = tally.reasons.map { ($0.key?.rawValue ?? "unknown", $0.value) }
        return Rank.order(all.indices.map { Rank(first: all[$0].1, texts: [all[$0].0], place: $0) }).map { all[$0] }
    }

    private var denied: Outline.Section {
        guard !reasons.isEmpty else {
            return Outline.Section(name: "denials", title: "Denials", paragraphs: ["No call was denied."])
        }
        let names = Timeline.reasonNames
        let places = reasons.compactMap { reason in names.firstIndex(of: reason.0) }
        var series = places.prefix(Plot.seriesMax).map { place in
            Plot.Series(name: names[place], values: report.hours.map { Int($0.value.denials[place]) })
        }
        let rest = places.dropFirst(Plot.seriesMax)
        if !rest.isEmpty {
            series.append(
                Plot.Series(
                    name: "other reasons",
                    values: report.hours.map { hour in rest.reduce(0) { $0 + Int(hour.value.denials[$1]) } }))
        }
        let observed = tally.observedDenials
        return Outline.Section(
            name: "denials", title: "Denials by reason and hour",
            paragraphs: observed == 0
                ? [] : ["\(counted(observed, "denial")) were only logged, in observe mode: the calls passed."],
            plot: .columns(title: "Denied calls by time and reason", Plot.Times(report.hours.map(\.key)), series),
            tables: tables(
                ["Reason", "Calls"], numeric: [1], reasons.map { [$0.0, grouped($0.1)] }, total: reasons.count))
    }

    private var denialSources: Outline.Section {
        let rows = report.denials.map { key, row in
            [
                text(key.client), key.reason?.rawValue ?? "unknown", host(key), grouped(row.count),
                text(row.programs), "\(row.period.first)", "\(row.period.last)",
            ]
        }
        let others = tally.denials.others.map { "sources with fewer denials made room: \(grouped($0.count)) calls" }
        return Outline.Section(
            name: "sources", title: "Denials by source", paragraphs: rows.isEmpty ? ["No call was denied."] : [],
            tables: tables(
                ["Source", "Reason", "Host", "Calls", "Programs", "First", "Last"], numeric: [3], rows,
                total: rows.count, others: others))
    }

    private var enumerations: Outline.Section {
        let rows = report.enumerations.map { key, row in
            [
                text(key.client), key.word ?? "-", host(key), grouped(row.count), grouped(row.others),
                row.detail, "\(row.period.last)",
            ]
        }
        return Outline.Section(
            name: "enumerations", title: "Enumerations",
            paragraphs: rows.isEmpty
                ? ["No source asked for many programs, or for a list, that it may not see."]
                : ["The tool is a guess by what its calls look like."],
            tables: tables(
                ["Source", "Looks like", "Host", "Times", "Denials", "Detail", "Last"], numeric: [3, 4], rows,
                total: rows.count))
    }

    private var probes: Outline.Section {
        guard report.count(.probed) > 0 else {
            return Outline.Section(
                name: "probes", title: "Packets at shut ports", paragraphs: ["No packet without a grant was logged."])
        }
        let rows = report.probes.map { key, row in
            [
                text(key.client), key.port.map { "\($0)" } ?? "-", text(key.program), host(key),
                grouped(row.count), "\(row.period.first)", "\(row.period.last)",
            ]
        }
        let others = tally.probes.others.map { "sources with fewer packets made room: \(grouped($0.count)) packets" }
        return Outline.Section(
            name: "probes", title: "Packets at shut ports",
            paragraphs: ["Packets to guarded ports without a grant. Enforce mode drops them."],
            plot: .columns(
                title: "Packets without a grant by time", Plot.Times(report.hours.map(\.key)),
                [Plot.Series(name: "packets", values: report.hours.map(\.value.probes))]),
            tables: tables(
                ["Source", "Port", "Program", "Host", "Packets", "First", "Last"], numeric: [4], rows,
                total: rows.count, others: others))
    }

    private var quarantines: Outline.Section {
        let rows = tally.quarantines.items.map { item in
            [
                text(item.source), report.host(item.host), "\(item.at)",
                item.duration.map { "\($0.components.seconds) s" } ?? "-", item.detail,
                item.isEnforced ? "yes" : "observed only",
            ]
        }
        return Outline.Section(
            name: "quarantines", title: "Quarantines", paragraphs: rows.isEmpty ? ["No source was quarantined."] : [],
            tables: tables(
                ["Source", "Host", "From", "For", "Evidence", "Enforced"], rows, total: tally.quarantines.count))
    }

    private var tampering: Outline.Section {
        let rows = tally.tampering.items.map { item in
            [
                report.host(item.host), "\(item.from)", item.to.map { "\($0)" } ?? "not in the log",
                item.milliseconds.map { "\(secondsText($0)) s" } ?? "-", grouped(item.changes), item.detail,
            ]
        }
        return Outline.Section(
            name: "tampering", title: "Changes of the table by others",
            paragraphs: rows.isEmpty
                ? ["No other program changed the firewall table."]
                : ["From the first change to the table's restoration."],
            tables: tables(
                ["Host", "Changed", "Restored", "After", "Changes", "What"], numeric: [3, 4], rows,
                total: tally.tampering.count))
    }

    private var changes: Outline.Section {
        let reloads = tally.reloads.items.map { item in
            [report.host(item.host), "\(item.at)", item.isRefused ? "refused" : "in force", item.detail]
        }
        let starts = tally.restarts.items.map { item in
            [report.host(item.host), item.stopped.map { "\($0)" } ?? "-", "\(item.started)", item.detail]
        }
        let changes =
            tables(["Host", "Reload", "Result", "Changes"], reloads, total: tally.reloads.count)
            + tables(["Host", "Stopped", "Started", "As"], starts, total: tally.restarts.count)
        return Outline.Section(
            name: "changes", title: "Reloads and restarts",
            paragraphs: changes.isEmpty
                ? ["Neither configuration nor policy was read again, and no daemon started."] : [],
            tables: changes)
    }

    private var gaps: Outline.Section {
        let rows = report.gaps.map { item in
            [
                report.host(item.host), "\(item.from)", item.to.map { "\($0)" } ?? "the log's end", item.cause.text,
            ]
        }
        let kinds = tally.suppressed.map { "\($0.key) \(grouped($0.value))" }.sorted()
        var paragraphs = [
            "Times for which the record may lack events: the daemon had ended, a start followed no stop, a host wrote "
                + "nothing for more than a day, or lines were beyond the log's limits. A quiet host may have nothing to "
                + "write for days."
        ]
        if !kinds.isEmpty { paragraphs.append("Lines beyond the limits: \(kinds.joined(separator: ", ")).") }
        return Outline.Section(
            name: "gaps", title: "Gaps in the record",
            paragraphs: rows.isEmpty ? ["The record has no gap."] : paragraphs,
            tables: tables(["Host", "From", "To", "Cause"], rows, total: tally.gaps.count + tally.suppressions.count))
    }

    // MARK: Cells

    private func host(_ key: RowKey) -> String { key.host.map(report.host) ?? "-" }

    private func text(_ address: IPAddress?) -> String { address.map { "\($0)" } ?? "-" }

    private func text(_ program: Program?) -> String {
        guard let program else { return "-" }
        return report.name(of: program).map { "\($0) (\(program))" } ?? "\(program)"
    }

    private func text(_ programs: Programs) -> String {
        let names = programs.programs.sorted().map { report.name(of: $0) ?? "\($0)" }
        return names.isEmpty ? "-" : names.joined(separator: ", ") + (programs.hasMore ? " and more" : "")
    }

    private func shown(_ texts: [String], separator: String = ", ") -> String {
        let more = texts.count - Self.shownMax
        return texts.prefix(Self.shownMax).joined(separator: separator)
            + (more > 0 ? "\(separator)and \(grouped(more)) more" : "")
    }

    private static let shownMax = 8
}
