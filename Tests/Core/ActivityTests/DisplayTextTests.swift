import Testing

@testable import Activity

@Suite("Text for a terminal") struct DisplayTextTests {
    @Test(
        "has no character that a terminal obeys, or that shows nothing",
        arguments: [
            ("\u{1b}[2J\u{1b}]0;owned\u{07}", "?[2J?]0;owned?"), ("a\nb\r\nc\td", "a?b?c?d"),
            ("\u{9b}31m\u{7f}\u{0}", "?31m??"), ("a\u{202e}b\u{2066}c", "a?b?c"), ("a\u{200b}b\u{feff}", "a?b?"),
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

@Suite("Figures") struct FiguresTests {
    @Test(
        "rates are short",
        arguments: [
            (nil, "-"), (0, "0"), (0.01, "<0.1"), (0.5, "0.5"), (12.34, "12.3"), (99.96, "100"), (1234.4, "1234"),
            (12_345, "12.3k"), (999_960, "1.0M"), (4_500_000, "4.5M"),
        ] as [(Double?, String)])
    func rates(rate: Double?, text: String) {
        #expect(Figures.rate(rate) == text)
    }

    @Test("counts stay whole as long as they are short", arguments: [(0, "0"), (99_999, "99999"), (123_456, "123k")])
    func counts(count: Int, text: String) {
        #expect(Figures.count(count) == text)
        #expect(Figures.count(UInt64.max) == "18446744T")
    }

    @Test(
        "durations have two units at most",
        arguments: [
            (0, "0s"), (59, "59s"), (60, "1m"), (3599, "59m"), (86_000, "23h53m"), (100_000, "1d3h"),
        ])
    func spans(seconds: Int, text: String) {
        #expect(Figures.span(seconds: seconds) == text)
    }

    @Test("latencies are told in the unit that fits")
    func latencies() {
        let texts = [
            .nanoseconds(87_400), .microseconds(1230), .microseconds(4010), .milliseconds(250), .seconds(1),
            .seconds(90),
        ]
        .map { (duration: Duration) in Figures.duration(duration) }
        #expect(texts == ["87 us", "1.2 ms", "4 ms", "250 ms", "1 s", "90 s"])
    }

    @Test("a sparkline has its highest bar for the greatest value")
    func sparkline() {
        #expect(Figures.sparkline([0, 1, 4, 8]) == "▁▁▄█")
        #expect(Figures.sparkline([0, 0]) == "▁▁")
    }
}
