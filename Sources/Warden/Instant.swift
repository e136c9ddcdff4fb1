/// A point of time that never steps back: nanoseconds of the host's monotonic clock.
public struct Instant: Hashable, Sendable, Comparable {
    public var nanoseconds: Int64

    public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    public static let zero = Instant(nanoseconds: 0)

    public static func < (left: Self, right: Self) -> Bool { left.nanoseconds < right.nanoseconds }
    public static func + (instant: Self, duration: Duration) -> Self {
        Instant(nanoseconds: instant.nanoseconds + duration.nanoseconds)
    }
    public static func - (instant: Self, duration: Duration) -> Self {
        Instant(nanoseconds: instant.nanoseconds - duration.nanoseconds)
    }
    public static func - (left: Self, right: Self) -> Duration { .nanoseconds(left.nanoseconds - right.nanoseconds) }
}

extension Duration {
    /// The whole duration; more than 292 years saturate.
    public var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? (seconds < 0 ? .min : .max) : scaled + attoseconds / 1_000_000_000
    }
}
