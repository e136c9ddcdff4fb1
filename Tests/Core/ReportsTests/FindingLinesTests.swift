import Activity
import HostPosture
import Testing

@testable import Reports

@Suite("Findings for a terminal") struct FindingLinesTests {
    private static let findings = [
        Finding(
            "remote-calls", .high, what: "rpcbind runs with -r", why: "The service doesn't see the caller.",
            mend: ["# remove -r in /etc/default/rpcbind (OPTIONS)", "systemctl restart rpcbind.service rpcbind.socket"]),
        Finding("no-warm-start", .low, what: "no -w", why: "It forgets."),
        Finding("container", .note, what: "a container", why: "It is."),
    ]

    @Test("are folded, but for commands, and end with their sum")
    func folded() {
        #expect(
            Self.findings.lines(columns: 32).map(\.text) == [
                "high: rpcbind runs with -r", "      [remote-calls]", "  why: The service doesn't see",
                "       the caller.", "  mend:", "      # remove -r in", "      # /etc/default/rpcbind",
                "      # (OPTIONS)", "      systemctl restart rpcbind.service rpcbind.socket", "",
                "low: no -w [no-warm-start]", "  why: It forgets.", "", "note: a container [container]",
                "  why: It is.", "", "2 findings: 1 high, 1 low. 1", "note.",
            ])
        #expect(Self.findings.lines(columns: nil).count == 13)
    }

    @Test("show by colour how much a finding weighs")
    func emphasis() {
        let leads = Self.findings.map { $0.lines(columns: nil)[0].pieces.first { !$0.text.isEmpty } }
        #expect(leads.map { $0?.text } == ["high:", "low:", "note:"])
        #expect(leads.map { $0?.emphasis } == [.alarm, .strong, .plain])
    }

    @Test("are told to be none")
    func none() {
        #expect([Finding]().lines(columns: 80).map(\.text) == ["No findings."])
        #expect([Self.findings[2], Self.findings[2]].lines(columns: 80).last?.text == "No findings. 2 notes.")
    }

    @Test("a report of a host whose policy has no rules doesn't say that all of them were used")
    func noRules() {
        #expect(report(tally([(0, event(.started))]), rules: []).text.contains("This host's policy has no rules."))
    }

    @Test("have no character that a terminal obeys")
    func hostile() {
        let text = "\u{1b}[2J\u{202e}"
        let lines = Finding(text, .low, what: text, why: text, mend: [text]).lines(columns: nil)
        #expect(lines.allSatisfy { !$0.text.contains("\u{1b}") && !$0.text.contains("\u{202e}") })
    }
}
