import Clock
import Testing

@Suite("timestamp") struct TimestampTests {
    static let known: [(Int64, String)] = [
        (0, "1970-01-01T00:00:00Z"), (-1000, "1969-12-31T23:59:59Z"), (951_782_399_000, "2000-02-28T23:59:59Z"),
        (951_782_400_000, "2000-02-29T00:00:00Z"), (951_868_800_000, "2000-03-01T00:00:00Z"),
        (1_709_164_800_000, "2024-02-29T00:00:00Z"), (1_735_689_599_000, "2024-12-31T23:59:59Z"),
        (1_740_787_200_000, "2025-03-01T00:00:00Z"), (1_795_000_000_000, "2026-11-18T11:06:40Z"),
        (2_147_483_648_000, "2038-01-19T03:14:08Z"), (4_107_542_399_000, "2100-02-28T23:59:59Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00Z"), (253_402_300_799_000, "9999-12-31T23:59:59Z"),
    ]

    @Test("writes and reads known dates", arguments: known)
    func dates(milliseconds: Int64, text: String) {
        #expect(Timestamp(milliseconds: milliseconds).description == text)
        #expect(Timestamp(text) == Timestamp(milliseconds: milliseconds))
    }

    @Test("shows milliseconds on request, also before 1970")
    func precise() {
        #expect(Timestamp(milliseconds: 1_795_000_000_007).precise == "2026-11-18T11:06:40.007Z")
        #expect(Timestamp(milliseconds: -1).precise == "1969-12-31T23:59:59.999Z")
    }

    @Test("each day of eight hundred years follows the one before")
    func everyDay() {
        var last = ""
        for day in Int64(-146_097)..<146_097 {
            let time = Timestamp(milliseconds: day * 86_400_000)
            #expect(time.description > last && Timestamp(time.description) == time)
            last = time.description
        }
    }

    @Test(
        "reads nothing else",
        arguments: [
            "", "2026-11-18T11:06:40", "2026-11-18T11:06:40z", "2026-11-18 11:06:40Z", "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z", "+026-01-01T00:00:00Z",
            "2026-+1-01T00:00:00Z", "2026/01/01T00:00:00Z", "2026-01-01T00:00:00.0Z", "２026-01-01T00:00Z",
        ])
    func nothingElse(text: String) {
        #expect(Timestamp(text) == nil)
    }
}
