import Testing

@testable import Activity

@Suite("A paragraph") struct ParagraphTests {
    private func texts(_ paragraph: Paragraph, _ columns: Int?, first: String = "", rest: String = "") -> [String] {
        paragraph.lines(columns: columns, first: first, rest: rest).map(\.text)
    }

    @Test("is broken between words, so that no line is wider than the terminal")
    func folded() {
        let words = Paragraph("one two three four")
        #expect(texts(words, nil) == ["one two three four"])
        #expect(texts(words, 18) == ["one two three four"])
        #expect(texts(words, 17) == ["one two three", "four"])
        #expect(texts(words, 7) == ["one two", "three", "four"])
        #expect(texts(words, 9, first: "  ", rest: "  # ") == ["  one two", "  # three", "  # four"])
        #expect(texts(Paragraph("日本 日本 日本"), 9) == ["日本 日本", "日本"])
    }

    @Test("has a word that is too wide on a line of its own")
    func wide() {
        #expect(texts(Paragraph("a 0123456789 b"), 4, rest: " ") == ["a", " 0123456789", " b"])
        #expect(texts(Paragraph("0123456789"), 4, first: "  ") == ["  0123456789"])
    }

    @Test("keeps the spaces of what it quotes, and no character that a terminal obeys")
    func verbatim() {
        #expect(texts(Paragraph("found \"a  b\"\u{1b}[2J"), nil) == ["found \"a  b\"?[2J"])
        #expect(texts(Paragraph(""), 80) == [""])
    }

    @Test("has its emphasis word by word, on every line")
    func emphasis() {
        let lines = (Paragraph("a b", .alarm) + Paragraph("c")).lines(columns: 1)
        #expect(lines.map { $0.pieces.last?.emphasis } == [.alarm, .alarm, .plain])
    }
}
