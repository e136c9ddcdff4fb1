extension Screen {
    func summary(_ report: ActivityReport, isAiry: Bool) -> [Line] {
        [title(report), state(report)] + (isAiry ? [Line()] : [])
            + [calls, denials(report), drops(report), upstream, commits]
    }

    private func line(_ label: String? = nil, _ fields: [Field]) -> Line {
        Line(fields, label: label, columns: size.columns)
    }

    private func title(_ report: ActivityReport) -> Line {
        let mode = report.isEnforcing ? Field("enforce") : Field("OBSERVE: nothing is denied", .warning)
        return line(
            nil,
            [
                Field("rpcwarden", .strong), mode,
                Field("up \(Figures.span(seconds: Int(report.uptime.components.seconds)))"), Field(report.time),
            ]
                + (isLive ? [Field("every \(Figures.duration(interval))"), Field("q quits")] : [])
                + [Field(report.version)])
    }

    private func state(_ report: ActivityReport) -> Line {
        var fields: [Field] = []
        switch (report.isRpcbindUp, report.needsRpcbind) {
        case (true?, _): fields.append(Field("rpcbind up"))
        case (_, false): break
        case (false?, true): fields.append(Field("rpcbind DOWN", .alarm))
        case (nil, true): fields.append(Field("rpcbind not asked yet", .warning))
        }
        fields.append(report.isTableInPlace ? Field("table intact") : Field("table NOT INTACT", .alarm))
        if !report.shielded.isEmpty {
            fields.append(Field("SHIELD UP (\(report.shielded.joined(separator: ", ")))", .warning))
        }
        if report.quarantined > 0 { fields.append(Field("\(Figures.count(report.quarantined)) quarantined", .warning)) }
        if report.auditLost > 0 { fields.append(Field("\(Figures.count(report.auditLost)) EVENTS LOST", .alarm)) }
        fields += [
            Field(plural(report.guarded, "guarded port")), Field(plural(report.registrations, "registration")),
            Field("\(report.connections) of \(report.connectionsMax) connections"),
        ]
        return line(nil, fields)
    }

    private func plural(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }

    private var calls: Line {
        var fields = [Field(Figures.rate(observation.rate { $0.calls }), .strong)]
        for (decision, name, emphasis) in [
            ("permitted", "permitted", Line.Emphasis.plain), ("observed", "would be denied", .warning),
            ("denied", "denied", .warning), ("malformed", "malformed", .warning),
        ] {
            let rate = observation.rate { $0.decisions[decision, default: 0] }
            guard decision != "observed" || observation.report?.isEnforcing == false else { continue }
            fields.append(Field("\(name) \(Figures.rate(rate))", rate ?? 0 > 0 ? emphasis : .plain))
        }
        let repeated = observation.rate { $0.duplicates } ?? 0
        if repeated > 0 { fields.append(Field("repeated \(Figures.rate(repeated))")) }
        let line = line("calls/s", fields)
        return isUnicode ? self.line("calls/s", fields + [sparkline(room: size.columns - line.width)]) : line
    }

    private static let sparklineMin = 8

    private func sparkline(room: Int) -> Field {
        let values = observation.callRates.suffix(max(0, room - 3))
        return Field(values.count >= Self.sparklineMin ? Figures.sparkline(values) : "")
    }

    private func denials(_ report: ActivityReport) -> Line {
        let rates = report.denied.keys.map { reason in
            (reason, observation.rate { $0.denied[reason, default: 0] } ?? 0)
        }.filter { $0.1 > 0 }.sorted { ($1.1, $0.0) < ($0.1, $1.0) }
        let total = observation.rate { $0.denied.values.reduce(0, +) }
        let all = report.denied.values.reduce(0, +)
        return line(
            "denied/s",
            [Field(Figures.rate(total), total ?? 0 > 0 ? .warning : .strong)]
                + rates.map { Field("\($0.0) \(Figures.rate($0.1))") } + [Field("\(Figures.count(all)) in all")])
    }

    /// The rates of dropped packets.
    private func drops(_ report: ActivityReport) -> Line {
        guard let dropped = report.dropped else { return line("drops/s", [Field("not counted by this table")]) }
        let causes = [("guarded", "guarded ports"), ("quarantined", "quarantine"), ("shielded", "shield")]
        let rates = causes.map { observation.droppedRate($0.0) }
        let total = rates.reduce(nil as Double?) { sum, rate in rate.map { (sum ?? 0) + $0 } ?? sum }
        let shown = zip(causes, rates).filter { $1 ?? 0 > 0 }.map { Field("\($0.1) \(Figures.rate($1))") }
        let all = dropped.values.reduce(into: UInt64(0)) { $0 &+= $1 }
        return line(
            "drops/s",
            [Field("\(Figures.rate(total)) packets", total ?? 0 > 0 ? .warning : .strong)] + shown
                + [Field("\(Figures.count(all)) in all")])
    }

    private var upstream: Line {
        latency("rpcbind/s", observation.latency { $0.upstream }, failed: observation.rate { $0.upstreamFailures })
    }

    private var commits: Line {
        latency("commits/s", observation.latency { $0.commits }, failed: observation.rate { $0.commitFailures })
    }

    private func latency(_ label: String, _ latency: LatencyReport?, failed: Double?) -> Line {
        let seconds = observation.secondsBetween
        let rate = latency.flatMap { latency in seconds.map { Double(latency.count) / $0 } }
        var fields = [Field(Figures.rate(rate), .strong)]
        if let failed, failed > 0 { fields.append(Field("FAILED \(Figures.rate(failed))", .alarm)) }
        if let latency, let mean = latency.mean, let half = latency.quantile(0.5), let most = latency.quantile(0.99) {
            fields += [
                Field("mean \(Figures.duration(mean))"), Field("half \(Figures.quantile(half))"),
                Field("99% \(Figures.quantile(most))"),
            ]
        }
        return line(label, fields)
    }
}
