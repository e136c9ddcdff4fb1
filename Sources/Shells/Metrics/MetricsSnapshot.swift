import AuditTrail
import Bundles
import Clock
import Firewall

/// The values for one scrape, all read at one moment.
public struct MetricsSnapshot: Sendable {
    public var version: String
    public var startedAt: Timestamp
    public var counters: Counters
    public var gauges: Gauges
    /// `nil` if the kernel's counters can't be read.
    public var drops: DropCounts?
    /// Audit events that the log lost.
    public var auditLost: Int
    /// The fleet's bundle in force.
    public var bundle: AcceptedBundle?

    public init(
        version: String, startedAt: Timestamp, counters: Counters, gauges: Gauges, drops: DropCounts?,
        auditLost: Int, bundle: AcceptedBundle? = nil
    ) {
        self.version = version
        self.startedAt = startedAt
        self.counters = counters
        self.gauges = gauges
        self.drops = drops
        self.auditLost = auditLost
        self.bundle = bundle
    }
}
