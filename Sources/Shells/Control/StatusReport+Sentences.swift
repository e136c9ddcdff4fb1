import Activity

extension StatusReport {
    /// The report in sentences, a line each: the mode and since when, what is wrong, what is in force. What servers and
    /// files are named isn't escaped.
    ///
    /// - Parameter since: when the mode came into force.
    public func sentences(since: String) -> [String] {
        let wrong = troubles
        return [modeSentence(since: since)] + (wrong.isEmpty ? ["Nothing is wrong."] : wrong.map { "WRONG: \($0)" })
            + [portmapperSentence, servers.map(Self.sentence), tableSentence, policySentence, useSentence].compactMap {
                $0
            }
            + pastTroubles + (fleet.map(Self.sentences) ?? [])
    }

    private func modeSentence(since: String) -> String {
        let time = "since \(since), for \(Figures.span(seconds: modeAge ?? uptime))"
        return mode == "observe"
            ? "rpcwarden \(version) observes \(time): nothing is denied."
            : "rpcwarden \(version) enforces its policy \(time)."
    }

    // MARK: What is wrong

    /// What is wrong now, a sentence each.
    public var troubles: [String] {
        var wrong: [String] = []
        if !rpcbind.reachable, rpcbind.needed != false {
            let lacking = servers == nil ? "nothing" : "nothing of this host"
            wrong.append("rpcbind doesn't answer: \(lacking) can be looked up.")
        }
        if !table.intact { wrong.append("the table inet \(table.name) is missing, or was changed by others.") }
        wrong += (servers ?? []).compactMap(\.trouble)
        if let fleet { wrong += Self.troubles(of: fleet) }
        return wrong
    }

    private static let counted = [
        ("denied_grants_full", "calls denied because limits.grants was reached"),
        ("denied_firewall_failed", "calls denied because the kernel refused the opening"),
        ("denied_rpcbind_down", "calls denied because a portmapper didn't answer"),
        ("commit_failures", "changes of the table that the kernel refused"),
        ("audit_lost", "lines of the audit log lost"),
    ]

    /// What went wrong since the start, and may be over.
    private var pastTroubles: [String] {
        let found = Self.counted.compactMap { key, words in
            counts[key].flatMap { $0 > 0 ? "\(Figures.count($0)) \(words)" : nil }
        }
        return found.isEmpty ? [] : ["Since the start: \(found.joined(separator: "; "))."]
    }

    private static func troubles(of fleet: FleetReport) -> [String] {
        var wrong: [String] = []
        if fleet.connected == false {
            let since =
                fleet.since.map { "rpcwarden-fleet has lost the store, since \($0)" } ?? "rpcwarden-fleet isn't here"
            wrong.append("\(since): other nodes don't hear of this one.")
        }
        if fleet.nameShared == true {
            let name = fleet.node.map { " \($0)" } ?? ""
            wrong.append(
                "another host writes as the node\(name), too: the records of both are wrong. Give each a name of its own."
            )
        }
        if fleet.expired == true, let serial = fleet.serial, let end = fleet.notAfter {
            wrong.append("the fleet's policy, serial \(serial), is out of date since \(end). It stays in force.")
        }
        return wrong
    }

    // MARK: What is in force

    private var portmapperSentence: String? {
        guard rpcbind.reachable || rpcbind.registrations > 0 || rpcbind.needed != false else { return nil }
        let registered = Self.count(rpcbind.registrations, "registration")
        return rpcbind.reachable ? "rpcbind answers, with \(registered)." : "rpcbind had \(registered)."
    }

    private var tableSentence: String {
        "The table inet \(table.name) \(table.intact ? "is intact, and guards" : "should guard") "
            + "\(Self.count(table.guarded, "port"))\(servers == nil ? "" : " of this host")."
    }

    private var policySentence: String {
        "\(Self.count(policy.rules, "rule")) \(policy.rules == 1 ? "is" : "are") in force, from \(policy.path)."
    }

    private var useSentence: String {
        let (grants, calls) = (counts["grants"] ?? 0, counts["calls"] ?? 0)
        let malformed = counts["malformed"] ?? 0
        // Since the start, whatever the mode was: what observe mode let pass is in both counts.
        let observed = mode == "observe" ? 0 : counts["observed"] ?? 0
        return "\(Self.count(grants, "grant")) \(grants == 1 ? "is" : "are") live; \(Self.count(calls, "call")) came: "
            + "\(Figures.count((counts["permitted"] ?? 0) - observed)) permitted, "
            + "\(Figures.count(max(0, (counts["denied"] ?? 0) - observed))) "
            + (mode == "observe" ? "that enforce would deny" : "denied")
            + (observed > 0 ? ", \(Figures.count(observed)) that observe mode let pass" : "")
            + (malformed > 0 ? ", \(Figures.count(malformed)) malformed." : ".")
    }

    private static func sentence(about servers: [ServerReport]) -> String {
        let up = servers.filter { $0.rpcbind == "up" }
        let sums = [
            count(servers.reduce(0) { $0 + $1.registrations }, "registration"),
            count(servers.reduce(0) { $0 + $1.guarded }, "guarded port"),
            count(servers.reduce(0) { $0 + $1.grants }, "grant"),
        ]
        return
            "\(up.count) of \(count(servers.count, "server")) \(up.count == 1 ? "answers" : "answer"), with \(sums[0]), "
            + "\(sums[1]) and \(sums[2])."
    }

    private static func sentences(about fleet: FleetReport) -> [String] {
        var sentences: [String] = []
        if fleet.connected != nil {
            let node = fleet.node.map { ", as the node \($0)" } ?? ""
            let name = fleet.fleet.map { "fleet \($0)" } ?? "fleet"
            let store = fleet.connected == true ? fleet.since.map { ", with the store since \($0)" } ?? "" : ""
            sentences.append(
                "This host is in the \(name)\(node)\(store). Of other nodes' grants "
                    + "\(fleet.foreignGrants ?? 0) are open and \(fleet.waitingGrants ?? 0) wait; "
                    + "\(count(fleet.queue ?? 0, "record")) of this one \(fleet.queue == 1 ? "is" : "are") to be written."
            )
        }
        if let group = fleet.group, let serial = fleet.serial, let created = fleet.created {
            let end = fleet.expired == true ? nil : fleet.notAfter.map { ", right until \($0)" }
            sentences.append("The fleet's policy has serial \(serial) of group \(group), of \(created)\(end ?? "").")
        }
        return sentences
    }

    // MARK: Every figure

    /// The servers one by one, then every counter; rows of two columns.
    public var figures: [[String]] {
        (servers ?? []).map { ["server \($0.name)", $0.line] }
            + counts.sorted { $0.key < $1.key }.map { [$0.key, String($0.value)] }
    }

    private static func count(_ count: Int, _ noun: String) -> String {
        "\(Figures.count(count)) \(noun)\(count == 1 ? "" : "s")"
    }
}

extension ServerReport {
    private var portmapper: String {
        switch rpcbind {
        case "up": "reachable"
        case "stale": "DOWN, its last registry is in force"
        case "never": "DOWN, never read: port 111 and \"close\" alone are guarded"
        case _: "DOWN"
        }
    }

    fileprivate var trouble: String? {
        rpcbind == "up" ? nil : "the server \(name) is \(portmapper)\(since.map { ", since \($0)" } ?? "")."
    }

    fileprivate var line: String {
        "\(portmapper), \(registrations) registrations, \(guarded) ports guarded, \(grants) grants"
            + (since.map { ", since \($0)" } ?? "")
    }
}
