/// Counts events within a sliding window, in sixteen steps: an event counts for the window's length, and for up to
/// a fifteenth of it longer.
public struct SlidingCount: Hashable, Sendable {
    private var counts = SIMD16<UInt16>()
    /// The step of the newest event, in steps since time zero.
    private var newest = Int64.min / 2

    private static let steps: Int64 = 16

    public init() {}

    /// - Returns: the count of events within the window.
    public mutating func add(at now: Instant, within window: Duration) -> Int {
        let step = now.nanoseconds / max(1, window.nanoseconds / (Self.steps - 1))
        let passed = step &- newest
        if passed >= Self.steps {
            counts = SIMD16()
        } else if passed > 0 {
            for offset in 1...passed { counts[Int((newest + offset) & (Self.steps - 1))] = 0 }
        }
        newest = max(step, newest)
        let slot = Int(newest & (Self.steps - 1))
        if counts[slot] < .max { counts[slot] += 1 }
        return (0..<Int(Self.steps)).reduce(0) { $0 + Int(counts[$1]) }
    }
}
