import Addresses
import AuditTrail
import Clock
import HostPosture

/// The report as one JSON document (rpcwarden(8), report).
extension Report {
    public var json: String {
        var document = JSONText()
        document.object { root in
            addLog(to: &root)
            if let posture = surroundings.posture { add(posture, to: &root) } else { root.addPlain("posture", "null") }
            addCounts(to: &root)
            addItems(to: &root)
            addRules(to: &root)
            addLeftOut(to: &root)
            root.add("created", surroundings.created)
            root.add("created_on", surroundings.host)
            root.add("version", surroundings.version)
            root.texts("sources", surroundings.sources)
            root.texts("unread", surroundings.unread)
        }
        return document.text + "\n"
    }

    private func addLog(to root: inout JSONText) {
        root.object("span") { span in
            span.add("from", tally.period?.first)
            span.add("to", tally.period?.last)
            span.add("since", tally.since)
        }
        root.texts("hosts", tally.hostNames.names.sorted())
        root.object("lines") { lines in
            lines.add("read", tally.linesRead)
            lines.add("skipped", tally.linesSkipped)
            lines.add("older", tally.linesOlder)
        }
    }

    private func add(_ posture: Posture, to root: inout JSONText) {
        root.object("posture") { member in
            member.add("host", surroundings.host)
            member.list("findings") { list in
                for finding in posture.findings {
                    list.object { row in
                        row.add("finding", finding.finding)
                        row.add("severity", finding.severity.rawValue)
                        row.add("what", finding.what)
                        row.add("why", finding.why)
                        row.texts("mend", finding.mend)
                    }
                }
            }
            member.object("cis_2_1_12") { add(posture.evidence, to: &$0) }
        }
    }

    private func add(_ evidence: ControlEvidence, to member: inout JSONText) {
        member.add("control", evidence.control)
        member.add("title", evidence.title)
        member.add("verdict", evidence.verdict.rawValue)
        member.add("statement", evidence.statement)
        member.list("evidence") { list in
            for step in evidence.steps {
                list.object { row in
                    row.add("command", step.command)
                    row.add("expected", step.expected)
                    row.add("result", step.result)
                }
            }
        }
        member.texts("remarks", evidence.remarks)
    }

    // MARK: What is counted

    private func addCounts(to root: inout JSONText) {
        root.object("totals") { totals in
            totals.add("events", tally.linesRead)
            for kind in AuditEvent.Kind.allCases { totals.add(kind.rawValue, count(kind)) }
            totals.add("denied_observed", tally.observedDenials)
        }
        rows("lookups", lookups, to: &root) { row, key, sum in
            row.add("client", key.client.map { "\($0)" })
            addProgram(of: key, to: &row)
            row.add("count", sum.count)
            row.add("grants", sum.others)
            row.texts("hosts", hosts(sum.hosts))
            if let server = key.server { row.add("server", tally.servers[server]) }
        }
        rows("denials", denials, to: &root) { row, key, sum in
            row.add("reason", key.reason?.rawValue)
            addPlace(of: key, to: &row)
            row.add("count", sum.count)
            row.add("observed", sum.observed)
            row.list("programs") { list in
                for program in sum.programs.programs.sorted() { list.addPlain(nil, "\(program)") }
            }
            row.add("programs_more", sum.programs.hasMore)
        }
        root.add("hours_each", Int(tally.timeline.width))
        root.list("hours") { list in
            for (hour, alive) in zip(hours, grantsAlive) { list.object { add(hour.key, hour.value, alive, to: &$0) } }
        }
        rows("enumerations", enumerations, to: &root) { row, key, sum in
            addPlace(of: key, to: &row)
            row.add("tool", key.word)
            row.add("count", sum.count)
            row.add("denials", sum.others)
            row.add("detail", sum.detail)
        }
        rows("probes", probes, to: &root) { row, key, sum in
            addPlace(of: key, to: &row)
            row.add("port", key.port.map { "\($0)" })
            addProgram(of: key, to: &row)
            row.add("count", sum.count)
            row.add("observed", sum.observed)
        }
    }

    private func rows(
        _ name: String, _ rows: [(key: RowKey, value: Row)], to root: inout JSONText,
        _ body: (inout JSONText, RowKey, Row) -> Void
    ) {
        root.list(name) { list in
            for (key, sum) in rows {
                list.object { row in
                    body(&row, key, sum)
                    row.add("first", sum.period.first)
                    row.add("last", sum.period.last)
                }
            }
        }
    }

    private func addPlace(of key: RowKey, to row: inout JSONText) {
        row.add("source", key.client.map { "\($0)" })
        row.add("host", key.host.map(host))
    }

    private func addProgram(of key: RowKey, to row: inout JSONText) {
        row.add("program", key.program.map { Int($0.rawValue) })
        row.add("program_name", name(of: key.program))
    }

    private func add(_ number: Int64, _ hour: Timeline.Hour, _ alive: Int, to row: inout JSONText) {
        row.add("hour", Timestamp(milliseconds: number * Timeline.milliseconds))
        row.add("permitted", hour.permitted)
        row.object("denied") { denied in
            for (name, count) in zip(Timeline.reasonNames, hour.denials) where count > 0 {
                denied.add(name, Int(count))
            }
        }
        row.add("probes", hour.probes)
        row.add("grants_alive", alive)
    }

    // MARK: What is told one by one

    private func addItems(to root: inout JSONText) {
        items("modes", tally.modes.items, host: \.host, to: &root) { row, item in
            row.add("from", item.at)
            row.add("mode", item.mode.rawValue)
        }
        items("quarantines", tally.quarantines.items, host: \.host, to: &root) { row, item in
            row.add("source", item.source.map { "\($0)" })
            row.add("at", item.at)
            row.add("seconds", item.duration.map { Int($0.components.seconds) })
            row.add("enforced", item.isEnforced)
            row.add("detail", item.detail)
        }
        items("tampering", tally.tampering.items, host: \.host, to: &root) { row, item in
            row.add("from", item.from)
            row.add("to", item.to)
            row.addPlain("seconds", item.milliseconds.map(secondsText) ?? "null")
            row.add("changes", item.changes)
            row.add("detail", item.detail)
        }
        items("reloads", tally.reloads.items, host: \.host, to: &root) { row, item in
            row.add("at", item.at)
            row.add("event", item.kind.rawValue)
            row.add("refused", item.isRefused)
            row.add("detail", item.detail)
        }
        items("restarts", tally.restarts.items, host: \.host, to: &root) { row, item in
            row.add("stopped", item.stopped)
            row.add("started", item.started)
            row.add("detail", item.detail)
        }
        items("gaps", gaps, host: \.host, to: &root) { row, item in
            row.add("from", item.from)
            row.add("to", item.to)
            row.add("why", item.cause.name)
            if case .suppressed(let count) = item.cause { row.add("lines", count) }
        }
        root.add("suppressed", tally.suppressedCount)
    }

    private func items<Item>(
        _ name: String, _ items: [Item], host: (Item) -> Int, to root: inout JSONText,
        _ body: (inout JSONText, Item) -> Void
    ) {
        root.list(name) { list in
            for item in items {
                list.object { row in
                    row.add("host", self.host(host(item)))
                    body(&row, item)
                }
            }
        }
    }

    // MARK: Rules, and what is left out

    private func addRules(to root: inout JSONText) {
        root.add("permitted_lines", surroundings.permitted?.rawValue)
        root.texts("permitted_missing", hostsWithoutPermitted)
        rows("rules", rules, to: &root) { row, key, sum in
            row.add("rule", key.word)
            row.add("permitted", sum.count)
            row.add("grants", sum.others)
        }
        for (name, rules) in [("rules_unused", rulesUnused), ("rules_unseen", rulesUnseen)] {
            if let rules { root.texts(name, rules.map(\.label)) } else { root.addPlain(name, "null") }
        }
    }

    /// What is counted in the totals, and has no row of its own.
    private func addLeftOut(to root: inout JSONText) {
        root.object("left_out") { member in
            member.add("lookups", tally.lookups.others?.count ?? 0)
            member.add("lookup_grants", tally.lookups.others?.others ?? 0)
            member.add("denials", tally.denials.others?.count ?? 0)
            member.add("probes", tally.probes.others?.count ?? 0)
            member.add("enumerations", tally.enumerations.others?.count ?? 0)
            member.add("hosts", tally.hostNames.homelessCount)
            member.add("modes", tally.modes.leftOut)
            member.add("quarantines", tally.quarantines.leftOut)
            member.add("tampering", tally.tampering.leftOut)
            member.add("reloads", tally.reloads.leftOut)
            member.add("restarts", tally.restarts.leftOut)
            member.add("gaps", tally.gaps.leftOut + tally.suppressions.leftOut)
        }
    }
}
