/// Totals since the start, for `status` and metrics; no rate limit affects them.
public struct Counters: Hashable, Sendable {
    public var calls = 0
    public var permitted = 0
    public var denied: [DenialReason: Int] = [:]
    public var malformed = 0
    public var duplicates = 0
    /// Connections that were closed to make room.
    public var crowdedOut = 0
    public var granted = 0
    public var renewed = 0
    public var expired = 0
    public var revoked = 0
    public var commits = 0
    public var commitFailures = 0
    /// Audit events that were not written in full.
    public var suppressed = 0
    /// Calls that ended, without duplicates.
    public var outcomes: [CallOutcome: Int] = [:]
    /// Audit events by kind, whether or not they were written in full.
    public var events = Counts<AuditEvent.Kind>()
    /// The time from a question until rpcbind's answer, including the wait for its turn.
    public var upstreamLatency = LatencyHistogram()
    public var upstreamFailures = 0
    /// The time from the making of a transaction until the kernel acknowledged or refused it.
    public var commitLatency = LatencyHistogram()

    public init() {}
}
