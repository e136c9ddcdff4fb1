import Addresses
import AuditTrail
import Clock
import TestSupport
import Testing

@testable import AuditLog
@testable import Reports

@Suite("a line of the audit log, read back") struct LoggedEventTests {
    private static let full = event(.denied) {
        $0.client = ip("2001:db8::7")
        $0.port = 783
        $0.transport = .udp
        $0.program = .mountd
        $0.programName = "mountd"
        $0.procedure = "getport"
        $0.over = .tcp
        $0.reason = .noRule
        $0.rule = "nfs.yaml:14 \"workstations\""
        $0.host = "filer1"
        $0.server = "behind"
        $0.granted = ServicePort(.tcp, 2049)
        $0.count = 7
        $0.window = .seconds(60)
        $0.detail = "a \\ \"b\""
        $0.isEnforced = false
    }

    private static func line(_ event: AuditEvent) -> [UInt8] { AuditFormat.line.message(event, at: time(0)).dropLast() }

    /// As `journalctl -o json` prints the entry.
    private static func journalLine(_ event: AuditEvent) -> [UInt8] {
        let fields = AuditField.fields(of: event, at: time(0)).filter { $0.key != "ts" }
        let texts = fields.map { field in
            var field = AuditField(key: "RPCWARDEN_" + field.key.uppercased(), value: field.value)
            switch field.value {
            case .text: break
            case .number(let number): field.value = .text(String(number))
            case .flag(let flag): field.value = .text("\(flag)")
            }
            return field
        }
        let own = [
            AuditField(key: "__REALTIME_TIMESTAMP", value: .text("1795248000123456")),
            AuditField(key: "_HOSTNAME", value: .text("journal")), AuditField(key: "MESSAGE", value: .text("denied …")),
            AuditField(key: "host", value: .text("somebody's")),
        ]
        return AuditLine(own + texts).bytes.dropLast()
    }

    @Test(
        "each event comes back as it was written, from a file and from the journal", arguments: AuditEvent.Kind.allCases
    )
    func kinds(_ kind: AuditEvent.Kind) throws {
        var event = Self.full
        event.kind = kind
        let logged = try #require(LoggedEvent(line: Self.line(event)))
        #expect(logged == LoggedEvent(event: event, time: time(0), host: "filer1"))
        let fromJournal = try #require(LoggedEvent(line: Self.journalLine(event)))
        #expect(fromJournal.event == event)
        #expect(fromJournal.time.milliseconds == time(0).milliseconds + 123 && fromJournal.host == "filer1")
    }

    @Test("the host is the line's, else the journal's, else unknown")
    func host() throws {
        var event = Self.full
        event.host = nil
        #expect(LoggedEvent(line: Self.journalLine(event))?.host == "journal")
        let logged = try #require(LoggedEvent(line: Self.line(event)))
        #expect(logged.host == nil)
    }

    @Test("neither a part of a line nor more than a line is an event")
    func prefixes() {
        let line = Self.line(Self.full)
        for end in line.indices { #expect(LoggedEvent(line: Array(line[..<end])) == nil) }
        for more in ["x", "{}", ","] { #expect(LoggedEvent(line: line + Array(more.utf8)) == nil) }
        #expect(LoggedEvent(line: Array(" \t".utf8) + line + Array(" ".utf8)) != nil)
    }

    @Test("behind a torn line the next event is found; text of a peer doesn't pass for one")
    func torn() {
        let line = Self.line(Self.full)
        for end in [1, 40, line.count - 1] {
            #expect(LoggedEvent(behindTornLine: line[..<end] + line)?.event == Self.full)
        }
        #expect(LoggedEvent(behindTornLine: line) == nil && LoggedEvent(behindTornLine: []) == nil)
        let forged = event(.denied) { $0.detail = String(decoding: line, as: UTF8.self) }
        #expect(LoggedEvent(behindTornLine: Self.line(forged)) == nil)
    }

    private static let start = #"{"ts":"2026-11-21T08:00:00Z","event":"denied""#

    @Test(
        "a line with a key twice is no event: two readers would take two values",
        arguments: [#""client":"10.0.0.1","client":"10.0.0.2""#, #""reason":"rate","re\u0061son":"stranger""#])
    func duplicates(_ members: String) {
        #expect(LoggedEvent(line: Array("\(Self.start),\(members)}".utf8)) == nil)
    }

    @Test("what it doesn't know is read over, nested too; values of another kind are missing")
    func others() throws {
        let members =
            #""x":[1,{"client":"10.0.0.1"},[]],"y":{"event":"x"},"z":-1.5e3,"count":null,"port":70000,"xid":[]"#
        let logged = try #require(LoggedEvent(line: Array("\(Self.start),\(members)}".utf8)))
        #expect(logged.event == AuditEvent(.denied) && logged.time == time(0))
        let deep = String(repeating: "[", count: 9) + String(repeating: "]", count: 9)
        #expect(LoggedEvent(line: Array("\(Self.start),\"x\":\(deep)}".utf8)) == nil)
    }

    @Test(
        "times have any fraction of a second, and are of UTC",
        arguments: [
            ("2026-11-21T08:00:00Z", 0), ("2026-11-21T08:00:00.5Z", 500), ("2026-11-21T08:00:00.123Z", 123),
            ("2026-11-21T08:00:00.123456789Z", 123), ("2026-11-21T08:00:00.Z", nil), ("2026-11-21T08:00:00", nil),
            ("2026-11-21T08:00:00.5X", nil),
            ("2026-11-21T08:00:00+01:00", nil), ("2026-02-30T08:00:00Z", nil), ("2026-11-21T08:00:00.1xZ", nil),
        ] as [(String, Int64?)])
    func times(text: String, milliseconds: Int64?) {
        #expect(
            Timestamp(logged: Array(text.utf8)[...])?.milliseconds == milliseconds.map { time(0).milliseconds + $0 })
    }
}
