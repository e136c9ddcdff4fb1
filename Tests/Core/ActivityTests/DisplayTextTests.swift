import Testing

@testable import Activity

@Suite("Text for a terminal") struct DisplayTextTests {
    @Test(
        "has no character that a terminal obeys, or that shows nothing",
        arguments: [
            ("\u{1b}[2J\u{1b}]0;owned\u{07}", "?[2J?]0;owned?"), ("a\nb\r\nc\td", "a?b?c?d"),
            ("\u{9b}31m\u{7f}\u{0}", "?31m??"), ("a\u{202e}b\u{2066}c", "a?b?c"), ("a\u{200b}b\u{feff}", "a?b?"),
            ("\u{3164}a\u{2800}b\u{a0}c\u{3000}d\u{115f}", "?a?b?c?d?"), ("a\u{34f}b\u{e0100} c", "?? c"),
            ("\u{e000}\u{2028}\u{301}", "???"), ("e\u{301}é 10.0.0.1 \"x\"", "e\u{301}é 10.0.0.1 \"x\""),
        ])
    func hostile(text: String, shown: String) {
        #expect(DisplayText(text).description == shown)
    }

    @Test("is ASCII alone where the terminal shows nothing else")
    func ascii() {
        #expect(DisplayText("é日a🎉", isUnicode: false).description == "??a?")
    }

    @Test(
        "knows its columns: letters of East Asia take two",
        arguments: [("", 0), ("abc", 3), ("日本", 4), ("e\u{301}", 1), ("🎉", 2), ("\n", 1)])
    func width(text: String, columns: Int) {
        #expect(DisplayText(text).width == columns)
    }

    @Test(
        "is cut to a width, and shows that it was",
        arguments: [
            ("abc", 3, "abc"), ("abcd", 3, "ab~"), ("日本語", 5, "日本~"), ("日本語", 4, "日~"), ("abc", 1, "~"), ("a", 0, ""),
        ])
    func cut(text: String, columns: Int, shown: String) {
        let text = DisplayText(text).cut(to: columns)
        #expect(text.description == shown && text.width <= columns)
    }
}
