import Addresses
import Clock
import CoreSamples
import Firewall
import ONCRPC
import Policy
import Testing

@testable import Gate

@Suite("grant note") struct GrantNoteTests {
    private static let issued = Timestamp(milliseconds: 1_795_000_000_000)

    static let rules = [
        "policy.yaml:14 \"workstations mount NFSv3\"", "", " ", "two  spaces ", "by since by", "\"",
        "100003 since 2026-11-18T11:06:40Z by another",
    ]

    @Test("is read back as it was written", arguments: rules)
    func roundTrip(rule: String) {
        let note = GrantNote(program: .mountd, issued: Self.issued, rule: rule)
        #expect(GrantNote(note.description) == note)
        #expect(ElementComment.permits(note.description))
    }

    @Test(
        "characters that nft would print as they are become question marks, and are no more when they are read",
        arguments: [
            ("ümläut 🎉", "?ml?ut ?"), ("a\nb\tc\u{1b}[31m", "a?b?c?[31m"), ("back\\slash", "back?slash"),
            ("\u{202e}gnp\u{2028}", "?gnp?"), ("\0", "?"), ("cafe\u{301}", "cafe?"),
        ])
    func replaced(rule: String, written: String) {
        let note = GrantNote(program: .mountd, issued: Self.issued, rule: rule)
        #expect(note.description == "100005 since 2026-11-18T11:06:40Z by \(written)")
        #expect(ElementComment.permits(note.description))
        #expect(GrantNote("100005 since 2026-11-18T11:06:40Z by \(rule)")?.rule == written)
    }

    @Test("is cut at 127 bytes, and still read back", arguments: ["a", "é", "€", "🎉", "\u{301}", "\\"])
    func cut(character: String) {
        let rule = String(repeating: character, count: 200)
        let note = GrantNote(program: Program(.max), issued: Self.issued, rule: rule)
        #expect(note.description.utf8.count == 127 && ElementComment.permits(note.description))
        let read = GrantNote(note.description)
        #expect(read?.program == Program(.max))
        #expect(read?.rule.allSatisfy { $0 == "a" || $0 == "?" } == true)
    }

    @Test(
        "what we didn't write is no note",
        arguments: [
            "", "100005", "100005 since 2026-11-18T11:06:40Z", "100005 since 2026-11-18T11:06:40Z by",
            "mountd since 2026-11-18T11:06:40Z by r", "-1 since 2026-11-18T11:06:40Z by r",
            "4294967296 since 2026-11-18T11:06:40Z by r", "100005 since 2026-11-18 11:06:40 by r",
            "100005 since 2026-02-30T00:00:00Z by r", "100005 until 2026-11-18T11:06:40Z by r",
        ])
    func foreign(comment: String) {
        #expect(GrantNote(comment) == nil)
    }

    @Test("of a copy tells its node after a restart, however long the names of rule and node are", arguments: [1, 64])
    func origin(length: Int) {
        let node = String(repeating: "n", count: length)
        let rule = "policy.yaml:14 \"" + String(repeating: "r", count: 200) + "\""
        let note = GrantNote(program: Program(.max), issued: Self.issued, rule: rule, origin: node)
        #expect(GrantNote(note.description)?.origin == node)
        #expect(note.description.utf8.count == 127 && ElementComment.permits(note.description))
    }
}
