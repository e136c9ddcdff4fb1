import Testing

@testable import Activity

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
