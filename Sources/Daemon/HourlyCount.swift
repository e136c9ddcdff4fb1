import Clock

/// How far a counter has grown within the last hour, by minutes. Pure.
struct HourlyCount {
    /// The counter at the start of each minute, oldest first.
    private var minutes: [(start: Instant, count: Int)] = []

    private static let minute = Duration.seconds(60)
    private static let hour = Duration.seconds(3600)

    mutating func growth(to count: Int, at now: Instant) -> Int {
        minutes.removeAll { $0.start + Self.hour + Self.minute <= now }
        if minutes.last.map({ $0.start + Self.minute <= now }) ?? true { minutes.append((now, count)) }
        return count - (minutes.first?.count ?? count)
    }
}
