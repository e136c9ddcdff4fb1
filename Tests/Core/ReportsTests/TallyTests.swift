import Addresses
import AuditTrail
import Clock
import TestSupport
import Testing

@testable import Reports

@Suite("counting") struct TallyTests {
    private static func started(_ mode: String) -> AuditEvent {
        event(.started) { $0.detail = "rpcwarden 0.2.0, \(mode)" }
    }

    private static func mode(_ event: AuditEvent) -> Mode? { Mode(of: event) }

    @Test("tampering lasts from the first change to the table's restoration, by this host")
    func tampering() {
        var sum = Tally()
        sum.note(event(.tampered) { $0.count = 3 }, at: 0, host: "a")
        sum.note(event(.tampered) { $0.count = 4 }, at: 5, host: "a")
        sum.note(event(.restored), at: 6, host: "b")
        sum.note(event(.restored), at: 12, host: "a")
        sum.note(event(.tampered), at: 20, host: "a")
        let items = sum.tampering.items
        #expect(items.map(\.to) == [time(12), nil] && items.map(\.changes) == [7, 1] && items.map(\.host) == [0, 0])
        #expect(items[0].milliseconds == 12_000)
        #expect(report(sum).json.contains(#""seconds": 12,"#))
    }

    @Test("a restart tells its end and its start; one without an end leaves a gap")
    func restarts() {
        let sum = tally([
            (0, Self.started("enforce")), (10, event(.stopped)), (11, Self.started("enforce")), (50, event(.permitted)),
            (60, Self.started("enforce")), (70, event(.stopped)), (200, Self.started("enforce")),
        ])
        #expect(sum.restarts.items.map(\.stopped) == [nil, time(10), nil, time(70)])
        #expect(sum.gaps.items.map(\.cause) == [.crash, .stopped])
        #expect(
            sum.gaps.items.map(\.from) == [time(50), time(70)] && sum.gaps.items.map(\.to) == [time(60), time(200)])
    }

    @Test("a start without anything before it is no gap: the log begins there")
    func firstStart() { #expect(tally([(0, Self.started("enforce"))]).gaps.count == 0) }

    @Test("what the daemon writes before its first start is no earlier run; a start long after such a line has a gap")
    func linesBeforeStart() {
        let beginning: [(Int64, AuditEvent)] = [
            (0, event(.rpcbindUp)), (1, event(.revoked)), (90, Self.started("enforce")),
        ]
        #expect(tally(beginning).gaps.count == 0)
        let crashed = tally(beginning + [(95, event(.rpcbindUp)), (96, Self.started("enforce"))])
        #expect(crashed.gaps.items.map(\.cause) == [.crash])
        let later = tally([(0, event(.rpcbindUp)), (91, Self.started("enforce"))])
        #expect(later.gaps.items == [GapItem(host: 0, from: time(0), to: time(91), cause: .crash)])
    }

    @Test("a day without a line is a gap; a host that was stopped then has another one")
    func silence() {
        let day = Tally.silence.components.seconds
        let quiet = tally([(0, event(.permitted)), (day, event(.permitted)), (2 * day + 1, event(.permitted))])
        #expect(quiet.gaps.items.map(\.cause) == [.silence])
        #expect(quiet.gaps.items.first?.from == time(day))
        var stopped = tally([(0, Self.started("enforce")), (10, event(.stopped))])
        stopped.note(event(.permitted), at: 1000, host: "b")
        #expect(report(stopped).tally.gaps.items == [GapItem(host: 0, from: time(10), to: nil, cause: .stopped)])
    }

    @Test("lines beyond the log's limits are summed up, and those that follow each other are one gap")
    func suppressed() {
        let lost = { (count: Int, kind: String) in
            event(.suppressed) { ($0.count, $0.detail, $0.window) = (count, kind, .seconds(10)) }
        }
        let sum = tally([
            (10, lost(5, "denied")), (20, lost(6, "probed")), (30, lost(.max, "denied")), (3000, lost(1, "the log…")),
        ])
        #expect(sum.suppressedCount == .max && sum.suppressed["probed"] == 6)
        #expect(
            sum.suppressions.items.map(\.from) == [time(0), time(2990)]
                && sum.suppressions.items.map(\.to) == [time(30), time(3000)])
        #expect(sum.suppressions.items.last?.cause.text == "1 line beyond the limits of the log")
    }

    @Test(
        "the mode is known from a start, a reload, and denials that observe mode lifts",
        arguments: [
            (started("observe"), .observe),
            (event(.reloaded) { $0.detail = "mode changed from observe to enforce; settings changed" }, .enforce),
            (event(.reloaded) { $0.detail = "rule added: x; settings changed" }, nil),
            (event(.denied) { ($0.reason, $0.isEnforced) = (.stranger, false) }, .observe),
            (event(.denied) { $0.reason = .stranger }, .enforce), (event(.denied) { $0.reason = .remoteCall }, nil),
            (event(.denied) { $0.reason = .rate }, nil), (event(.denied) { $0.reason = .firewallFailed }, nil),
            (event(.denied) { ($0.reason, $0.isEnforced) = (.rate, false) }, .observe),
            (event(.denied) { ($0.reason, $0.procedure, $0.transport) = (.stranger, "dump", .udp) }, nil),
            (event(.denied) { ($0.reason, $0.procedure, $0.transport) = (.stranger, "dump", .tcp) }, .enforce),
            (event(.denied) { ($0.reason, $0.detail) = (.stranger, "dropped by the kernel") }, nil),
        ] as [(AuditEvent, Mode?)])
    func modes(event: AuditEvent, mode: Mode?) { #expect(Self.mode(event) == mode) }

    @Test("a change of mode is told once, for each host")
    func modeChanges() {
        var sum = Tally()
        let denial = event(.denied) { $0.reason = .stranger }
        for (second, host) in [(0, "a"), (1, "b"), (2, "a")] { sum.note(denial, at: Int64(second), host: host) }
        sum.note(Self.started("observe"), at: 3, host: "a")
        #expect(sum.modes.items.map(\.mode) == [.enforce, .enforce, .observe])
        #expect(sum.modes.items.map(\.host) == [0, 1, 0])
    }

    @Test("grants alive: renewals add none, a revived one is back, and one that began before the log was alive then")
    func grantsAlive() {
        let hour: Int64 = 3600
        let revived = event(.renewed) {
            ($0.client, $0.program, $0.granted) = (ip("10.0.0.1"), .nfs, ServicePort(.tcp, 2049))
            $0.detail = "revived"
        }
        let sum = tally([
            (0, grant(.granted, "10.0.0.1")), (1, grant(.granted, "10.0.0.2")), (2, grant(.renewed, "10.0.0.1")),
            (3, grant(.granted, "10.0.0.2")), (hour, grant(.expired, "10.0.0.1")),
            (2 * hour, grant(.revoked, "10.0.0.9")), (3 * hour, revived),
        ])
        #expect(report(sum).grantsAlive == [3, 2, 1, 2])
    }

    @Test("grants that began before --since and live on are alive when it begins")
    func grantsBeforeSince() {
        let sum = tally(
            [
                (0, grant(.granted, "10.0.0.1")), (1, grant(.granted, "10.0.0.2")), (2, grant(.granted, "10.0.0.3")),
                (3, grant(.expired, "10.0.0.2")), (4, grant(.expired, "10.0.0.9")), (100, event(.permitted)),
                (3600, grant(.revoked, "10.0.0.3")), (7200, grant(.granted, "10.0.0.1")),
            ], since: time(50))
        #expect(report(sum).grantsAlive == [2, 1] && sum.lookups.rows.allSatisfy { $0.value.others <= 1 })
    }

    @Test("a gap doesn't end before it begins, though the clock was set back")
    func clockSetBack() {
        let sum = tally([(0, Self.started("enforce")), (5000, event(.denied)), (1000, Self.started("enforce"))])
        #expect(sum.gaps.items.map(\.from) == [time(5000)] && sum.gaps.items.map(\.to) == [time(5000)])
    }

    @Test("a source that enumerates in two ways, or at two hosts, is one source")
    func enumerators() {
        var sum = Tally()
        for (number, tool) in ["rpcinfo", "nmap", "rpcinfo"].enumerated() {
            let scan = event(.enumeration) { ($0.client, $0.detail) = (ip("192.0.2.1"), "looks like \(tool)") }
            sum.note(scan, at: Int64(number), host: "host \(number)")
        }
        #expect(report(sum).text.contains("1 source enumerated services"))
    }

    @Test("events before --since count for nothing, but tell the state that they left")
    func since() {
        let sum = tally(
            [
                (0, Self.started("observe")), (1, event(.stopped)), (100, Self.started("observe")),
                (101, event(.denied) { ($0.reason, $0.isEnforced) = (.stranger, false) }),
            ], since: time(50))
        #expect(sum.linesRead == 2 && sum.linesOlder == 2 && sum.restarts.items.map(\.stopped) == [time(1)])
        #expect(sum.modes.count == 0 && sum.period?.first == time(100))
    }

    @Test(
        "a rule that no call and no grant names is unused, wherever its file has it now; one with open: always isn't told so"
    )
    func rules() {
        let used = event(.permitted) { $0.rule = "nfs.yaml:3 \"moved\"" }
        let rules = [
            Report.PolicyRule(label: "nfs.yaml:9 \"moved\"", name: "moved", isStanding: false),
            Report.PolicyRule(label: "nfs.yaml:20 \"idle\"", name: "idle", isStanding: false),
            Report.PolicyRule(label: "nfs.yaml:30 \"nfs4\"", name: "nfs4", isStanding: true),
        ]
        let made = report(tally([(0, used)]), rules: rules)
        #expect(made.rulesUnused?.map(\.name) == ["idle"] && made.rulesUnseen?.map(\.name) == ["nfs4"])
        #expect(made.text.contains("no call used: nfs.yaml:20 \"idle\""))
        #expect(report(tally([(0, used)])).json.contains(#""rules_unused": null"#))
    }

    @Test(
        "a rule whose name isn't ASCII is used if a log names it, be it in the forms of older versions",
        arguments: ["Büro", "B\u{c3}\u{bc}ro", "B??ro"])
    func foreignNames(logged: String) {
        let used = event(.permitted) { $0.rule = "nfs.yaml:3 \"\(logged)\"" }
        let rules = [
            Report.PolicyRule(label: "nfs.yaml:9 \"Büro\"", name: "Büro", isStanding: false),
            Report.PolicyRule(label: "nfs.yaml:12 \"Bäro\"", name: "Bxro", isStanding: false),
        ]
        #expect(report(tally([(0, used)]), rules: rules).rulesUnused?.map(\.name) == ["Bxro"])
    }

    private static let idle = [Report.PolicyRule(label: "nfs.yaml:20 \"idle\"", name: "idle", isStanding: false)]

    @Test("where permitted calls have no line, neither clients nor rules are told as without use")
    func withoutPermitted() {
        let log: [(Int64, AuditEvent)] = [
            (0, grant(.granted, "10.0.0.1")), (1, event(.denied) { $0.reason = .stranger }),
        ]
        let known = report(tally([(1, event(.denied))]), rules: Self.idle, permitted: .noCall)
        let seen = report(tally(log, host: "filer"), rules: Self.idle)
        for made in [known, seen] {
            #expect(made.rulesUnused == nil && made.json.contains(#""rules_unused": null"#))
            #expect(
                made.text.contains("ermitted calls were not logged") && !made.text.contains("No call was permitted"))
        }
        #expect(seen.json.contains("\"permitted_missing\": [\n    \"filer\"\n  ]"))
        #expect(known.json.contains(#""permitted_lines": "none""#))
        // Lines of permitted calls show that the host logs them.
        let quiet = report(tally([(0, event(.permitted)), (1, grant(.granted, "10.0.0.1"))]), rules: Self.idle)
        #expect(quiet.rulesUnused?.count == 1 && quiet.hostsWithoutPermitted == [])
        var copy = grant(.granted, "10.0.0.1")
        copy.rule = "policy.yaml:1 \"nas\" (from a)"
        let standby = report(tally([(0, copy)], host: "b"), rules: Self.idle)
        #expect(standby.rulesUnused?.count == 1 && standby.hostsWithoutPermitted == [], "its client asked at a")
    }

    @Test("what the first calls alone, or the log's limits, leave out of permitted calls is told with their number")
    func fewerPermitted() {
        let lost = { (detail: String) in event(.suppressed) { ($0.count, $0.detail) = (7, detail) } }
        let log = [(0, event(.permitted)), (1, lost("permitted")), (2, lost("the log…")), (3, lost("denied"))]
        let made = report(tally(log.map { (Int64($0.0), $0.1) }), rules: Self.idle, permitted: .first)
        #expect(made.permittedSuppressed == 14 && made.rulesUnused?.count == 1)
        for words in ["1 permitted call of", "audit.permitted is first", "left out 14 lines", "may name them"] {
            #expect(made.markdown.contains(words), "\(words)")
        }
    }

    @Test("a log without an event is told as such in every format")
    func empty() {
        let made = report(Tally())
        for text in [made.text, made.html, made.markdown] { #expect(text.contains("have no audit event")) }
        #expect(made.json.contains(#""read": 0"#))
    }
}

@Suite("bounds of a report") struct BoundTests {
    @Test(
        "a hundred thousand clients take no more rows than there are; totals stay exact, and who calls most keeps its row"
    )
    func clients() {
        let count: UInt32 = 100_000
        var limits = Tally.Limits()
        limits.rowsMax = 1024
        var sum = Tally(limits: limits)
        let greedy = event(.denied) { ($0.client, $0.reason) = (ip("192.0.2.7"), .stranger) }
        for number in 0..<count {
            var event = AuditEvent(number % 2 == 0 ? .denied : .permitted)
            event.client = .v4(number)
            event.reason = event.kind == .denied ? .stranger : nil
            sum.note(event, at: Int64(number % 1000), host: "a")
            if number % 100 == 0 { sum.note(greedy, at: 0, host: "a") }
        }
        #expect(sum.lookups.rows.count <= limits.rowsMax && sum.denials.rows.count <= limits.rowsMax)
        #expect(sum.denials.rows.reduce(0) { $0 + $1.value.count } + (sum.denials.others?.count ?? 0) == 51_000)
        #expect(sum.lookups.rows.reduce(0) { $0 + $1.value.count } + (sum.lookups.others?.count ?? 0) == 50_000)
        let made = report(sum)
        #expect(made.denials.first?.key.client == ip("192.0.2.7") && made.denials.first?.value.count == 1000)
        #expect(made.json.utf8.count < 1 << 20 && made.html.utf8.count < 1 << 18 && made.text.utf8.count < 65_536)
    }

    @Test("hosts, servers, rules, programs, hours and items have limits of their own")
    func others() {
        var limits = Tally.Limits()
        (limits.rowsMax, limits.itemsMax, limits.namesMax) = (64, 10, 8)
        var sum = Tally(limits: limits)
        for number in 0..<40_000 {
            var event = AuditEvent([.granted, .tampered, .started, .probed, .quarantined, .reloaded][number % 6])
            event.client = .v4(UInt32(number))
            event.program = Program(UInt32(number))
            (event.programName, event.rule, event.server) = ("p\(number)", "rule \(number)", "server \(number)")
            event.detail = "looks like \(number)"
            sum.note(event, at: Int64(number) * 3600, host: "host \(number)")
        }
        #expect(sum.hostNames.names.count == 8 && sum.hosts.count == 8 && sum.servers.names.count == 8)
        // 1,667 days; each event is still in one of them.
        #expect(sum.timeline.hours.count == 1667 && sum.timeline.width == 24)
        #expect(sum.timeline.hours.values.reduce(0) { $0 + $1.probes } == sum.events[.probed])
        #expect(sum.rules.rows.count <= 16 && sum.programNames.count <= 16 && sum.probes.rows.count <= 64)
        for count in [sum.tampering.items.count, sum.quarantines.items.count, sum.reloads.items.count] {
            #expect(count == 10)
        }
        #expect(sum.quarantines.leftOut == 40_000 / 6 - 10)
        #expect(report(sum).json.contains(#""hosts": 39992"#))
    }

    @Test("a log with very many hours makes the steps longer, and hides no event of others, however far they are apart")
    func hours() {
        var sum = Tally()
        for number in 0..<12_000 { sum.note(event(.probed), at: Int64(number) * 1_800_000, host: "bogus") }
        sum.note(event(.probed), at: -70_000_000_000, host: "bogus")
        sum.note(event(.permitted), at: 7200, host: "a")
        sum.note(event(.denied), at: 7201, host: "a")
        let made = report(sum)
        #expect(made.hours.count <= Timeline.hoursMax && made.json.contains("\"hours_each\": \(sum.timeline.width)"))
        #expect(made.hours.allSatisfy { $0.key % sum.timeline.width == 0 } && sum.timeline.width > 24)
        let sums = made.hours.map { ($0.value.permitted, $0.value.probes, Int($0.value.denials.reduce(0, +))) }
        #expect(sums.reduce(0) { $0 + $1.0 } == 1 && sums.reduce(0) { $0 + $1.1 } == 12_001)
        #expect(sums.reduce(0) { $0 + $1.2 } == 1 && !made.html.isEmpty)
    }

    @Test("numbers and texts of a log may be anything")
    func extremes() {
        let huge = event(.enumeration) {
            ($0.count, $0.window) = (.max, .seconds(1_000_000_000))
            $0.detail = String(repeating: "x", count: 60_000)
        }
        let sum = tally([
            (0, huge), (1, huge), (2, event(.tampered) { $0.count = .max }), (3, event(.tampered) { $0.count = .max }),
            (-60_000_000_000, event(.probed)), (200_000_000_000, event(.probed)),
            (4, event(.suppressed) { ($0.count, $0.window) = (.max, .seconds(1_000_000_000)) }),
        ])
        let made = report(sum)
        #expect(made.html.utf8.count < 65_536 && made.text.utf8.count < 16_384)
    }
}

@Suite("steps of time in plots") struct StepTests {
    @Test("no more than asked for, of equal length, and no value gets lost", arguments: [1, 31, 96])
    func sums(max: Int) {
        for hours in [
            [0], [0, 1], [5, 30, 31, 700], [0, 8759], [0, 1, 90_000_000], Array(stride(from: 7, to: 900, by: 5)),
        ] {
            let times = Plot.Times(hours.map { Int64($0) + 490_000 })
            let steps = times.steps(max: max)
            #expect(steps.count <= max && steps.count > 0, "\(hours)")
            #expect(steps.sums(hours.map { $0 + 1 }, of: times).reduce(0, +) == hours.reduce(0) { $0 + $1 + 1 })
        }
    }

    @Test("a level stays until the next hour that has one")
    func levels() {
        let times = Plot.Times([10, 13])
        #expect(times.steps(max: 8).levels([4, 2], of: times) == [4, 4, 4, 2])
    }
}
