import Console
import Testing

@Suite("a table") struct TableTests {
    private let table = Table(
        heading: ["CLIENT", "LAST", "WHY"], [["10.0.0.1", "12:00", "a rule"], ["::1", "-", "none"]])

    @Test("has its columns one below the other, and no spaces at the end")
    func aligned() {
        #expect(table.text == "CLIENT    LAST   WHY\n10.0.0.1  12:00  a rule\n::1       -      none")
    }

    @Test("is folded between columns where it is too wide, every row alike")
    func folded() {
        #expect(table.text(within: 23) == table.text)
        #expect(
            table.text(within: 22)
                == "CLIENT    LAST\n  WHY\n10.0.0.1  12:00\n  a rule\n::1       -\n  none")
        #expect(
            table.text(within: 14)
                == "CLIENT\n  LAST\n  WHY\n10.0.0.1\n  12:00\n  a rule\n::1\n  -\n  none")
        let four = Table(heading: ["CLIENT", "LAST", "WHY", "N"], [["10.0.0.1", "12:00", "a rule", "1"]])
        #expect(four.text(within: 11) == "CLIENT\n  LAST\n  WHY     N\n10.0.0.1\n  12:00\n  a rule  1")
        // A cell is never broken.
        #expect(table.text(within: 1) == table.text(within: 14))
    }

    @Test("has no character that a terminal obeys")
    func hostile() {
        #expect(Table(heading: ["A"], [["\u{1b}[2J\u{202e}"]]).text == "A\n?[2J?")
    }

    @Test("without rows is its heading, and nothing without one")
    func empty() {
        #expect(Table(heading: ["A", "B"], []).text(within: 80) == "A  B")
        #expect(Table([]).text == "")
    }
}
