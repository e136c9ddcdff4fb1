import Clock
import TestSupport
import Testing

@Suite("sliding count") struct SlidingCountTests {
    @Test("counts each event for the window at least, and little longer", arguments: 0..<20 as Range<UInt64>)
    func window(seed: UInt64) {
        var random = SeededGenerator(state: seed)
        var count = SlidingCount()
        var times: [Int64] = []
        var now: Int64 = 5_000_000_000
        for _ in 0..<300 {
            now += Int64.random(in: 0..<2_000_000_000, using: &random)
            times.append(now)
            let counted = count.add(at: Instant(nanoseconds: now), within: .seconds(15))
            let least = times.count { now - $0 <= 15_000_000_000 }
            let most = times.count { now - $0 <= 16_000_000_000 }
            #expect((least...most).contains(counted))
        }
    }
}
