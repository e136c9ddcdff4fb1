import Clock

/// Durations in fixed buckets: an observation costs a few comparisons and no memory.
public struct LatencyHistogram: Hashable, Sendable {
    /// The upper bound of each bucket. A commit takes some 10 µs, a lookup 100 µs, and rpcbind's time-out is 800
    /// ms.
    public static let boundsMicroseconds: [Int64] = [
        10, 15, 20, 25, 30, 40, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
        1_000_000,
    ]

    /// By bucket, not cumulative; the last bucket holds the durations above every bound.
    public private(set) var counts = [Int](repeating: 0, count: boundsMicroseconds.count + 1)
    private var sumNanoseconds: Int64 = 0

    public init() {}

    /// 292 years saturate.
    public var sum: Duration { .nanoseconds(sumNanoseconds) }

    /// Observes the time from `start` to `end`.
    public mutating func observe(from start: Instant, to end: Instant) {
        let (difference, overflow) = end.nanoseconds.subtractingReportingOverflow(start.nanoseconds)
        let nanoseconds = overflow ? .max : difference
        var bucket = 0
        while bucket < Self.boundsMicroseconds.count, nanoseconds > Self.boundsMicroseconds[bucket] * 1000 {
            bucket += 1
        }
        counts[bucket] += 1
        let (sum, isSaturated) = sumNanoseconds.addingReportingOverflow(nanoseconds)
        sumNanoseconds = isSaturated ? .max : sum
    }
}
