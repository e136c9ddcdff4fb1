import AuditTrail
import Clock
import Configuration
import Foundation
import Testing

@testable import AuditLog

@Suite("audit log")
struct AuditLogTests {
    private let time = Timestamp(milliseconds: 1_763_726_403_250)

    private func denied() -> AuditEvent {
        var event = AuditEvent(.denied)
        event.client = .v4(0x0a14_0007)
        event.port = 722
        event.transport = .udp
        event.program = .mountd
        event.programName = "mountd"
        event.version = 3
        event.procedure = "getport"
        event.over = .tcp
        event.reason = .noRule
        event.xid = 4_000_000_000
        return event
    }

    @Test("writes one JSON object on one line, in the contract's keys")
    func line() {
        let line = String(decoding: AuditLine(AuditField.fields(of: denied(), at: time)).bytes, as: UTF8.self)
        #expect(
            line == """
                {"ts":"2025-11-21T12:00:03.250Z","event":"denied","client":"10.20.0.7","port":722,"transport":"udp",\
                "program":100005,"program_name":"mountd","version":3,"procedure":"getport","over":"tcp","decision":"denied",\
                "reason":"no-rule","xid":4000000000}

                """)
    }

    @Test("names this host in a line, and in a field of the journal, where it has a name")
    func host() {
        var event = denied()
        event.host = "nfs1.example.com"
        let fields = AuditField.fields(of: event, at: time)
        let line = String(decoding: AuditLine(fields).bytes, as: UTF8.self)
        #expect(line.hasSuffix(#""xid":4000000000,"host":"nfs1.example.com"}"# + "\n"))
        let entry = String(decoding: JournalEntry(event, fields).bytes, as: UTF8.self)
        #expect(entry.contains("\nRPCWARDEN_HOST=nfs1.example.com\n"))
    }

    @Test("says that observe mode did not enforce")
    func observed() {
        var event = denied()
        event.isEnforced = false
        let line = String(decoding: AuditLine(AuditField.fields(of: event, at: time)).bytes, as: UTF8.self)
        #expect(line.hasSuffix(#""enforced":false}"# + "\n"))
    }

    @Test(
        "escapes what a peer chose, so that no terminal and no parser obeys it",
        arguments: [
            ("a\"b", #"a\"b"#), ("a\\b", #"a\\b"#), ("a\nb", #"a\u000ab"#), ("\u{1b}[31m", #"\u001b[31m"#),
            ("é", #"\u00e9"#), ("\u{7f}", #"\u007f"#), ("\u{1f389}", #"\ud83c\udf89"#), ("\u{202e}", #"\u202e"#),
        ])
    func escaping(text: String, expected: String) {
        let bytes = AuditLine([AuditField(key: "detail", value: .text(text))]).bytes
        #expect(String(decoding: bytes, as: UTF8.self) == #"{"detail":""# + expected + "\"}\n")
    }

    @Test("cuts long text")
    func cut() {
        let long = String(repeating: "x", count: 100_000)
        let bytes = AuditLine([AuditField(key: "detail", value: .text(long))]).bytes
        #expect(bytes.count == AuditLine.textBytesMax + #"{"detail":""}"#.utf8.count + 1)
    }

    @Test("cuts long text between two characters", arguments: ["é", "日", "🎉"])
    func cutCharacters(_ character: Character) throws {
        let long = String(repeating: character, count: 600)
        let bytes = AuditLine([AuditField(key: "detail", value: .text("x" + long))]).bytes
        let text = try #require(try JSONDecoder().decode([String: String].self, from: Data(bytes))["detail"])
        #expect(text.dropFirst().allSatisfy { $0 == character } && text.utf8.count > AuditLine.textBytesMax - 4)
        #expect(text.utf8.count <= AuditLine.textBytesMax)
        let entry = String(decoding: JournalEntry(AuditEvent(.reloaded, detail: long), []).bytes, as: UTF8.self)
        #expect(entry.split(separator: "\n")[0].suffix(99).allSatisfy { $0 == character })
    }

    @Test("the journal gets letters of all languages, and no character that a terminal obeys or that shows nothing")
    func journalText() {
        var event = denied()
        event.rule = "nfs.yaml:4 \"Büro 日本\u{7f}\u{85}\u{9b}\u{202e}\u{2028}\u{feff}\u{3164}\""
        let entry = JournalEntry(event, AuditField.fields(of: event, at: time))
        let lines = String(decoding: entry.bytes, as: UTF8.self).split(separator: "\n")
        #expect(lines.contains("RPCWARDEN_RULE=nfs.yaml:4 \"Büro 日本???????\""))
    }

    @Test("gives the journal a field for each key, and a message in plain words")
    func journal() {
        let entry = JournalEntry(denied(), AuditField.fields(of: denied(), at: time))
        let lines = String(decoding: entry.bytes, as: UTF8.self).split(separator: "\n").map(String.init)
        #expect(lines[0] == "MESSAGE=denied 10.20.0.7: getport of mountd v3 over udp (no-rule)")
        #expect(lines.contains("MESSAGE_ID=" + AuditEvent.Kind.denied.messageID))
        #expect(lines.contains("PRIORITY=5"))
        #expect(lines.contains("RPCWARDEN_EVENT=denied"))
        #expect(lines.contains("RPCWARDEN_CLIENT=10.20.0.7"))
        #expect(lines.contains("RPCWARDEN_PROGRAM_NAME=mountd"))
    }

    @Test("lets no text begin a field of its own in the journal")
    func journalInjection() {
        var event = denied()
        event.detail = "x\nPRIORITY=0\nRPCWARDEN_EVENT=permitted"
        let entry = JournalEntry(event, AuditField.fields(of: event, at: time))
        let lines = String(decoding: entry.bytes, as: UTF8.self).split(separator: "\n")
        #expect(!lines.contains("PRIORITY=0"))
        #expect(!lines.contains("RPCWARDEN_EVENT=permitted"))
    }

    @Test("says which file it can't open, and why")
    func unopenable() {
        var settings = Settings.Audit()
        settings.destination = .file
        settings.file = "/nowhere/audit.log"
        #expect(throws: AuditLogError(destination: "/nowhere/audit.log", code: ENOENT)) {
            try AuditDestination(settings)
        }
    }
}
