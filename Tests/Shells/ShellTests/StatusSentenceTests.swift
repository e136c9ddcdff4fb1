import Testing

@testable import Control

@Suite("status in sentences") struct StatusSentenceTests {
    private static let since = "2026-11-30T18:02:11Z"

    private static func report(_ change: (inout StatusReport) -> Void = { _ in }) -> StatusReport {
        var report = StatusReport(
            mode: "enforce", uptime: 9480, version: "0.1.0", rpcbind: .init(reachable: true, registrations: 40),
            table: .init(name: "rpcwarden", intact: true, guarded: 8), policy: .init(path: "policy.d", rules: 3),
            counts: ["calls": 41, "permitted": 33, "denied": 8, "grants": 12, "malformed": 0, "audit_lost": 0])
        change(&report)
        return report
    }

    @Test("say the mode and since when, what is wrong, and what is in force")
    func healthy() {
        #expect(
            Self.report().sentences(since: Self.since) == [
                "rpcwarden 0.1.0 enforces its policy since 2026-11-30T18:02:11Z, for 2h38m.", "Nothing is wrong.",
                "rpcbind answers, with 40 registrations.", "The table inet rpcwarden is intact, and guards 8 ports.",
                "3 rules are in force, from policy.d.", "12 grants are live; 41 calls came: 33 permitted, 8 denied.",
            ])
    }

    @Test("say in observe mode that nothing is denied")
    func observing() {
        let sentences = Self.report { ($0.mode, $0.policy.rules, $0.counts["malformed"]) = ("observe", 1, 2) }
            .sentences(since: Self.since)
        #expect(sentences[0] == "rpcwarden 0.1.0 observes since 2026-11-30T18:02:11Z, for 2h38m: nothing is denied.")
        #expect(sentences[4] == "1 rule is in force, from policy.d.")
        #expect(sentences[5].hasSuffix("33 permitted, 8 that enforce would deny, 2 malformed."))
    }

    @Test("count a call once, also one that observe mode let pass before")
    func observedBefore() {
        let sentences = Self.report {
            ($0.counts["calls"], $0.counts["permitted"], $0.counts["denied"], $0.counts["observed"]) = (19, 9, 13, 3)
        }.sentences(since: Self.since)
        #expect(sentences[5].hasSuffix("19 calls came: 6 permitted, 10 denied, 3 that observe mode let pass."))
    }

    private static let server = ServerReport(
        name: "filer1", rpcbind: "up", registrations: 20, guarded: 5, grants: 1, since: since)

    /// A gateway may have no rpcbind of its own.
    private static let unneeded = StatusReport.Rpcbind(reachable: false, registrations: 0, needed: false)

    private static func server(_ rpcbind: String) -> ServerReport {
        ServerReport(name: "filer2", rpcbind: rpcbind, since: since)
    }

    private static let wrong: [(StatusReport, [String])] = [
        (report(), []),
        (report { $0.rpcbind.reachable = false }, ["rpcbind doesn't answer: nothing can be looked up."]),
        (report { $0.table.intact = false }, ["the table inet rpcwarden is missing, or was changed by others."]),
        (
            report { ($0.rpcbind.reachable, $0.servers) = (false, [server]) },
            ["rpcbind doesn't answer: nothing of this host can be looked up."]
        ),
        (report { ($0.rpcbind, $0.servers) = (unneeded, [server]) }, []),
        (report { $0.servers = [server, server("down")] }, ["the server filer2 is DOWN, since \(since)."]),
        (
            report { $0.servers = [server("stale")] },
            ["the server filer2 is DOWN, its last registry is in force, since \(since)."]
        ),
        (
            report { $0.fleet = fleet { $0.connected = true } }, []
        ),
        (
            report { $0.fleet = fleet { ($0.connected, $0.since) = (false, nil) } },
            ["rpcwarden-fleet isn't here: other nodes don't hear of this one."]
        ),
        (
            report { $0.fleet = fleet { $0.connected = false } },
            ["rpcwarden-fleet has lost the store, since \(since): other nodes don't hear of this one."]
        ),
        (
            report { $0.fleet = fleet { ($0.connected, $0.nameShared) = (true, true) } },
            ["another host writes as the node a, too: the records of both are wrong. Give each a name of its own."]
        ),
        (
            report { $0.fleet = fleet { $0.expired = true } },
            ["the fleet's policy, serial 7, is out of date since 2026-11-30T00:00:00Z. It stays in force."]
        ),
    ]

    private static func fleet(_ change: (inout FleetReport) -> Void) -> FleetReport {
        var fleet = FleetReport()
        (fleet.fleet, fleet.node, fleet.since) = ("prod", "a", since)
        (fleet.group, fleet.serial, fleet.created) = ("nfs", 7, "2026-10-01T00:00:00Z")
        (fleet.notAfter, fleet.foreignGrants, fleet.queue) = ("2026-11-30T00:00:00Z", 3, 1)
        change(&fleet)
        return fleet
    }

    @Test("name what is wrong, before everything else", arguments: wrong)
    func troubles(report: StatusReport, wrong: [String]) {
        let sentences = report.sentences(since: Self.since).dropFirst()
        #expect(report.troubles == wrong)
        #expect(
            sentences.prefix(max(1, wrong.count))
                == (wrong.isEmpty ? ["Nothing is wrong."] : wrong.map { "WRONG: \($0)" })[...])
    }

    @Test("what went wrong since the start is told, and isn't wrong now")
    func past() {
        let report = Self.report { ($0.counts["denied_grants_full"], $0.counts["audit_lost"]) = (3, 200_000) }
        #expect(report.troubles == [])
        #expect(
            report.sentences(since: Self.since).last
                == "Since the start: 3 calls denied because limits.grants was reached; 200k lines of the audit log lost."
        )
    }

    @Test("sum up the servers of a gateway, and the fleet")
    func others() {
        let report = Self.report {
            $0.rpcbind = Self.unneeded
            $0.table.guarded = 0
            $0.servers = [Self.server, Self.server("down")]
            $0.fleet = Self.fleet { $0.connected = true }
        }
        let sentences = report.sentences(since: Self.since)
        #expect(sentences.contains("1 of 2 servers answers, with 20 registrations, 5 guarded ports and 1 grant."))
        #expect(!sentences.contains { $0.hasPrefix("rpcbind") })
        #expect(
            sentences.suffix(2) == [
                "This host is in the fleet prod, as the node a, with the store since \(Self.since). "
                    + "Of other nodes' grants 3 are open and 0 wait; 1 record of this one is to be written.",
                "The fleet's policy has serial 7 of group nfs, of 2026-10-01T00:00:00Z, right until 2026-11-30T00:00:00Z.",
            ])
    }

    @Test("every counter, and each server, are figures")
    func figures() {
        let figures = Self.report { $0.servers = [Self.server] }.figures
        #expect(
            figures.first == [
                "server filer1", "reachable, 20 registrations, 5 ports guarded, 1 grants, since \(Self.since)",
            ])
        #expect(
            figures.dropFirst().map(\.[0]) == ["audit_lost", "calls", "denied", "grants", "malformed", "permitted"])
    }
}
