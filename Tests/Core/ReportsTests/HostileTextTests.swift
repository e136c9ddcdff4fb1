import Addresses
import AuditTrail
import Clock
import HostPosture
import TestSupport
import Testing

@testable import Reports

@Suite("hostile text in a report") struct HostileTextTests {
    /// Markup, terminal sequences, separators of lines, and marks that turn the direction of text.
    private static let text =
        "\"><script>alert(1)</script><img src=x onerror='a'>&amp;\u{1b}[31m\u{0}\r\n\t\u{7f}\u{85}\u{9b}31m"
        + "\u{202e}\u{2066}\u{200f}\u{2028}\u{2029}\u{feff}\u{e0041}|`*_[x](javascript:1)</style></title>-->]]>"

    private static func report() -> Report {
        var sum = Tally()
        for (number, kind) in AuditEvent.Kind.allCases.enumerated() {
            var hostile = AuditEvent(kind, detail: kind == .enumeration ? "looks like \(text)" : text)
            hostile.client = ip("10.0.0.1")
            hostile.program = Program(UInt32(number))
            (hostile.programName, hostile.rule, hostile.server, hostile.procedure) = (text, text, text, text)
            hostile.count = 3
            sum.note(hostile, at: Int64(number) * 100_000, host: text)
        }
        let step = ControlEvidence.Step(command: text + "\n" + text, expected: text, result: text)
        let posture = Report.Posture(
            findings: [Finding(text, .high, what: text, why: text, mend: [text, text])],
            evidence: ControlEvidence(
                control: text, title: text, verdict: .unknown, statement: text, steps: [step], remarks: [text]))
        let rule = Report.PolicyRule(label: text + "!", name: text + "!", isStanding: false)
        return Report(
            sum,
            Report.Surroundings(
                created: time(0), version: text, host: text, sources: [text], posture: posture, rules: [rule, rule]))
    }

    enum Format: CaseIterable {
        case text, html, json, markdown

        func text(_ report: Report) -> String {
            switch self {
            case .text: report.text
            case .html: report.html
            case .json: report.json
            case .markdown: report.markdown
            }
        }
    }

    @Test("no character but a line's end that a terminal or a browser would interpret", arguments: Format.allCases)
    func invisible(format: Format) {
        let text = format.text(Self.report())
        let bad = text.unicodeScalars.filter { scalar in
            switch scalar.properties.generalCategory {
            case .control: scalar != "\n"
            case .format, .lineSeparator, .paragraphSeparator, .privateUse, .surrogate, .unassigned: true
            case _: false
            }
        }
        #expect(bad.isEmpty, "\(bad.map { String($0.value, radix: 16) })")
        for escape in ["\\u202e", "\\u001b", "&#x202e", "&#27"] { #expect(!text.lowercased().contains(escape)) }
    }

    @Test("the page has the elements that we write, and no others")
    func elements() {
        let page = Self.report().html
        var names: Set<String> = []
        for part in page.split(separator: "<", omittingEmptySubsequences: false).dropFirst() {
            names.insert(String(part.prefix { $0.isLetter || $0.isNumber || $0 == "/" || $0 == "!" }))
        }
        let own = [
            "html", "head", "title", "style", "body", "header", "h1", "h2", "p", "main", "section", "dl", "div", "dt",
            "dd", "nav", "ul", "li", "a", "footer", "table", "thead", "tbody", "tr", "th", "td", "span", "code",
            "figure", "figcaption", "svg", "desc", "text", "rect", "path", "i", "details", "summary", "caption",
        ]
        let known = Set(own + own.map { "/" + $0 } + ["!DOCTYPE", "meta", "br"])
        #expect(names.subtracting(known) == [])
        // A quotation mark of the log would end an attribute.
        for tag in page.split(separator: "<").map({ $0.prefix { $0 != ">" } }) {
            #expect(!tag.contains("onerror") || !tag.contains("="), "\(tag)")
            #expect(tag.filter { $0 == "\"" }.count % 2 == 0, "\(tag)")
        }
    }

    @Test("what GitHub would make a link of isn't left, and looks the same, but for the letters of an @")
    func links() {
        var sum = Tally()
        let text = "www.evil.example WWW.x a@evil.example mailto:b@@c.example http://e.example `@x @"
        sum.note(event(.reloaded) { $0.detail = text }, at: 0, host: "a")
        let shown = Report(
            sum, Report.Surroundings(created: time(0), version: "1", host: "h", sources: [])
        ).markdown
        #expect(
            shown.contains(
                "| www&#46;evil.example WWW&#46;x a`@`evil.example mailto:b@`@`c.example http:/&#47;e.example \\``@`x `@` |"
            ),
            "\(shown)")
    }

    @Test("Markdown has no HTML, and no link, of the log")
    func markdown() {
        let text = Self.report().markdown
        // A backslash in front makes the bracket text.
        #expect(!text.replacing("\\]", with: "").contains("](javascript"))
        let tags = Set(text.split(separator: "<").dropFirst().map { $0.prefix { $0 != ">" } })
        #expect(tags.subtracting(["br", "code", "/code"]) == [])
    }

    @Test("the page refers to nothing outside, and has no script")
    func selfContained() {
        let page = Self.report().html
        for word in ["http://", "https://", "src=", "url(", "@import", "<link", "<script", "javascript:alert"] {
            #expect(!page.replacing("<img src=x", with: "").contains(word) || word == "src=", "\(word)")
        }
        #expect(page.contains("default-src 'none'"))
    }
}
