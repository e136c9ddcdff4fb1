/// Totals since the start, for `status` and metrics; nothing that is counted here is ever lost to a rate limit.
public struct Counters: Hashable, Sendable {
    public var calls = 0
    public var permitted = 0
    public var denied: [DenialReason: Int] = [:]
    public var malformed = 0
    public var duplicates = 0
    /// Connections that had to go for want of a place.
    public var crowdedOut = 0
    public var granted = 0
    public var renewed = 0
    public var expired = 0
    public var revoked = 0
    public var commits = 0
    public var commitFailures = 0
    /// Audit events that were not written in full.
    public var suppressed = 0
    /// Calls that ended, duplicates left out.
    public var outcomes: [CallOutcome: Int] = [:]
    /// Audit events by kind, whether or not they were written in full.
    public var events = CaseCounts<AuditEvent.Kind>()
    /// From when a question was asked until rpcbind's answer, waiting for its turn included.
    public var upstreamLatency = LatencyHistogram()
    public var upstreamFailures = 0
    /// From when a transaction was put together until the kernel acknowledged or refused it.
    public var commitLatency = LatencyHistogram()

    public init() {}
}
