import Testing

@testable import Activity

@Suite("The screen") struct ScreenTests {
    @Test("shows at 80 x 24 how it is, what is asked, denied and dropped, by whom, and who was let in")
    func classic() {
        #expect(
            Samples.lines(Samples.busy, 80, 24) == [
                "rpcwarden   enforce   up 1d3h   2026-11-21T17:38:45Z   every 2 s   q quits",
                "rpcbind up   table intact   1 quarantined   9 guarded ports   24 registrations",
                "",
                "calls/s    15.5   permitted 12.0   denied 3.5   malformed 0",
                "denied/s   3.5   stranger 3.5   12007 in all",
                "drops/s    45.0 packets   guarded ports 40.0   quarantine 5.0   90 in all",
                "rpcbind/s  9.0   mean 100 us   half within 100 us   99% within 1 ms",
                "commits/s  2.0   mean 8 us   half within 10 us   99% within 10 us",
                "",
                "2 DENIED SOURCES  CALLS/S  CALLS  LAST      STATE        REASONS   PROGRAMS",
                "10.77.4.2             3.5  11907  now       quarantined  stranger  mountd nfs 1~",
                "10.77.3.2               0    100  1h6m ago               stranger  mountd nfs 1~",
                "",
                "2 GRANTS   PORT       PACKETS/S  PACKETS  PROGRAM  EXPIRES  RULE",
                "10.77.1.2  tcp/20048        125     9250  mountd   23h53m   workstations mount ~",
                "10.77.1.3  tcp/20048          0     123k  mountd   23h53m   workstations mount ~",
            ])
    }

    @Test("shows the same, by whole fields and rows, at 40 x 10")
    func small() {
        #expect(
            Samples.lines(Samples.busy, 40, 10) == [
                "rpcwarden   enforce   up 1d3h",
                "rpcbind up   table intact",
                "calls/s    15.5   permitted 12.0",
                "denied/s   3.5   stranger 3.5",
                "drops/s    45.0 packets",
                "rpcbind/s  9.0   mean 100 us",
                "2 DENIED SOURCES  CALLS/S  CALLS  LAST",
                "10.77.4.2             3.5  11907  now",
                "2 GRANTS   PORT       PACKETS/S  PACKETS",
                "10.77.1.2  tcp/20048        125     9250",
            ])
    }

    private static var crowded: Observation {
        Samples.observation(
            Samples.report(at: 1) {
                $0.denied = ["stranger": 1]
                $0.isRpcbindUp = false
            },
            Samples.report(at: 2) {
                $0.denied = ["stranger": 9]
                $0.shielded = ["udp"]
                $0.sources = (0..<32).map { Samples.source("fd77:1234:5678:9abc:def0:1234:5678:\($0)", 100 + $0) }
                $0.grants = (0..<192).map { Samples.grant("10.77.1.\($0)", UInt64($0), rule: "日本\u{1b}[2J") }
                $0.grantCount = 5000
                $0.nextGrant = 192
            })
    }

    @Test(
        "is never wider or higher than the terminal, whatever its size",
        arguments: [busy, crowded, lost, Observation()])
    func bounds(observation: Observation) {
        for columns in [0, 1, 2, 9, 10, 11, 12, 23, 39, 40, 41, 57, 79, 80, 81, 100, 130] {
            for rows in [0, 1, 2, 3, 4, 5, 8, 10, 12, 19, 20, 24, 300] {
                let screen = Screen(
                    observation, size: Screen.Size(columns: columns, rows: rows), interval: .seconds(2),
                    isUnicode: true, isLive: true)
                let lines = screen.lines
                #expect(lines.count <= rows && lines.allSatisfy { $0.width <= columns }, "\(columns) x \(rows)")
                #expect(lines.allSatisfy { DisplayText($0.text).description == $0.text }, "\(columns) x \(rows)")
            }
        }
    }

    private static let busy = Samples.busy
    private static var lost: Observation {
        var observation = Samples.busy
        observation.failed("can't reach the daemon at /run/rpcwarden/control.sock: Connection refused")
        return observation
    }

    @Test(
        "gives both tables half, and what one doesn't need to the other",
        arguments: [
            (12, 3, 3, 3, 3), (12, 30, 3, 9, 3), (12, 3, 30, 3, 9), (12, 30, 30, 6, 6), (13, 30, 30, 7, 6),
            (4, 9, 9, 2, 2),
            (3, 9, 9, 3, 0), (0, 9, 9, 0, 0), (-5, 9, 9, 0, 0),
        ])
    func share(room: Int, first: Int, second: Int, upper: Int, lower: Int) {
        #expect(Screen.share(room, first, second) == (upper, lower))
    }

    @Test("says first that the daemon doesn't answer, and goes on showing what was known, without emphasis")
    func noAnswer() {
        let screen = Screen(
            Self.lost, size: Screen.Size(columns: 80, rows: 24), interval: .seconds(2), isLive: true)
        #expect(screen.lines[0].text == "NO ANSWER FROM THE DAEMON   asking every 2 s")
        #expect(screen.lines[0].pieces[0].emphasis == .alarm)
        #expect(screen.lines[1].text.hasPrefix("can't reach the daemon at /run/rpcwarden/control.sock"))
        #expect(screen.lines.count == 24 || screen.lines.count < 24)
        #expect(screen.lines.dropFirst(2).flatMap(\.pieces).allSatisfy { $0.emphasis == .plain })
        #expect(screen.lines.contains { $0.text.contains("10.77.4.2") })
    }

    private typealias Change = @Sendable (inout ActivityReport) -> Void

    private static let troubles: [(Change, String)] = [
        ({ $0.isRpcbindUp = false }, "rpcbind DOWN"), ({ $0.isTableInPlace = false }, "table NOT INTACT"),
        ({ $0.shielded = ["udp"] }, "SHIELD UP (udp)"), ({ $0.auditLost = 3 }, "3 EVENTS LOST"),
        ({ $0.isEnforcing = false }, "OBSERVE: nothing is denied"), ({ $0.upstreamFailures = 4 }, "FAILED 2.0"),
        ({ $0.commitFailures = 1 }, "FAILED 0.5"),
    ]

    @Test("says in capitals what is wrong, for a terminal without colours")
    func troubled() {
        let fine = Samples.observation(Samples.report(at: 0), Samples.report(at: 2))
        for (change, words) in Self.troubles {
            let bad = Samples.observation(Samples.report(at: 0), Samples.report(at: 2, change))
            #expect(!Samples.lines(fine, 80, 24).joined().contains(words))
            #expect(Samples.lines(bad, 80, 24).joined().contains(words))
        }
    }

    @Test("says nothing of an rpcbind that a gateway doesn't have")
    func withoutRpcbind() {
        for isUp in [nil, false, true] {
            let observation = Samples.observation(
                Samples.report(at: 0),
                Samples.report(at: 2) {
                    $0.isRpcbindUp = isUp
                    $0.needsRpcbind = false
                })
            #expect(Samples.lines(observation, 80, 24)[1].contains("rpcbind") == (isUp == true))
        }
    }

    @Test("shows what observe mode lets pass")
    func observing() {
        let observation = Samples.observation(
            Samples.report(at: 0) { $0.isEnforcing = false },
            Samples.report(at: 2) {
                $0.isEnforcing = false
                $0.decisions = ["observed": 6]
            })
        #expect(Samples.lines(observation, 80, 24).joined().contains("would be denied 3.0"))
    }

    @Test("says of nothing that there is nothing, in two words")
    func quiet() {
        let lines = Samples.lines(Samples.observation(Samples.report(at: 0), Samples.report(at: 2)), 80, 24)
        #expect(lines.suffix(4) == ["", "NO DENIED SOURCES", "", "NO GRANTS"])
    }

    @Test("says of a table without counters of ours that drops aren't counted")
    func noDrops() {
        let observation = Samples.observation(Samples.report(at: 0), Samples.report(at: 2) { $0.dropped = nil })
        #expect(Samples.lines(observation, 80, 24).contains("drops/s    not counted by this table"))
    }

    @Test("draws the last minutes' calls where there is room and Unicode")
    func sparkline() {
        var observation = Observation()
        for second in 0...100 {
            observation.reported(Samples.report(at: second) { $0.decisions = ["permitted": second * second] })
        }
        let wide = Samples.lines(observation, 200, 60, isUnicode: true).joined()
        #expect(wide.filter { "▁▂▃▄▅▆▇█".contains($0) }.count == 60)
        let narrow = Samples.lines(observation, 80, 24, isUnicode: true)
        #expect(narrow[3].hasSuffix("██") && narrow[3].count <= 80)
        #expect(!Samples.lines(observation, 200, 60).joined().contains("█"))
    }

    @Test("for a pipe has every row, whole, and no hints about keys")
    func plain() {
        let screen = Screen(Self.crowded, size: .unlimited, interval: .seconds(2), isUnicode: true)
        let text = screen.lines.map(\.text)
        #expect(text.count { $0.contains("fd77:") } == 32 && text.count { $0.contains("10.77.1.") } == 192)
        #expect(!text.joined().contains("quits") && text.contains { $0.hasSuffix("日本?[2J") })
        #expect(text.last == "The busiest grants found so far; 192 are looked at each time.")
    }
}
