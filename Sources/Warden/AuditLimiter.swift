import Portmapper

/// Lets events through up to a rate for each source and in all, and counts exactly what it swallows.
///
/// Events without a client are rare and always pass.
struct AuditLimiter {
    /// Full lines a second for one client: enough to read, too few to fill a disk.
    static let linesPerSecondPerClient = 20
    static let linesPerSecond = 500
    /// A burst passes whole, so that a mount storm or a scan is seen as it was.
    static let burstSeconds = 10
    static let summaryPeriod: Duration = .seconds(10)

    private var perClient = RateLimiter(
        perSecond: linesPerSecondPerClient, burst: linesPerSecondPerClient * burstSeconds)
    private var inAll = RateLimiter(perSecond: linesPerSecond, burst: linesPerSecond * burstSeconds)
    private var swallowed: [AuditEvent.Kind: Int] = [:]
    private var lastSummary = Instant.zero

    /// Whether the event may be written in full.
    mutating func admits(_ event: AuditEvent, at now: Instant) -> Bool {
        guard let client = event.client else { return true }
        let key = RateLimiter.Key(client, event.transport ?? .udp)
        if perClient.admits(key, at: now), inAll.admits(.everyone, at: now) { return true }
        swallowed[event.kind, default: 0] += 1
        return false
    }

    /// One `suppressed` event for each kind that lost lines since the last summary.
    mutating func summary(at now: Instant) -> [AuditEvent] {
        guard !swallowed.isEmpty, now - lastSummary >= Self.summaryPeriod else { return [] }
        let window = lastSummary == .zero ? Self.summaryPeriod : now - lastSummary
        defer {
            swallowed = [:]
            lastSummary = now
        }
        return swallowed.sorted { $0.key.rawValue < $1.key.rawValue }.map { kind, count in
            var event = AuditEvent(.suppressed, detail: kind.rawValue)
            event.count = count
            event.window = window
            return event
        }
    }
}
