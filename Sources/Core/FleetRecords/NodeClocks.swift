import Clock

/// What the times of nodes say to each other.
public enum NodeClocks {
    /// How far a node's clock may be from the right time.
    public static let tolerance = Duration.seconds(5)
    /// So two nodes' clocks may differ by this.
    public static let differenceMax = tolerance * 2
    private static let aheadMax = Duration.seconds(60)

    /// Whether the time is of a wrong clock, by one that shows `now`.
    public static func isAhead(_ time: Timestamp, of now: Timestamp) -> Bool { time > now + aheadMax }

    /// Whether a clock that jumps by this was set, and didn't just drift.
    public static func isSet(by step: Duration) -> Bool { step > aheadMax || step < .zero - aheadMax }

    /// Whether an end beats what another clock says was issued then. A time of a wrong clock is no time of issue: whatever
    /// ended beats it.
    public static func isBeaten(issued: Timestamp, byEndAt end: Timestamp, at now: Timestamp) -> Bool {
        issued <= end + differenceMax || isAhead(issued, of: now)
    }
}

extension EndedRecord {
    /// An end that a wrong clock dated ahead was now, at the latest.
    public func clamped(at now: Timestamp) -> EndedRecord {
        guard NodeClocks.isAhead(at, of: now) else { return self }
        return EndedRecord(at: now, why: why, revoked: revoked)
    }
}
