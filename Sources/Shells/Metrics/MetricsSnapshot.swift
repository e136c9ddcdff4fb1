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
    /// What the sidecar has told; `nil`: this host needs none.
    public var fleet: Fleet?

    public struct Fleet: Hashable, Sendable {
        public var isSidecarHere: Bool
        public var isConnected: Bool
        public var gauges: FleetGauges
        /// `fleet.pair.grants`; `nil`: grants are not shared.
        public var grantsMax: Int?
        /// Records of this node that the store doesn't have yet.
        public var queue: Int
        /// Messages that the sidecar has not read yet.
        public var untold: Int
        /// Times at which it read too slowly, and was told everything anew.
        public var resyncs: Int

        public init(
            isSidecarHere: Bool, isConnected: Bool, gauges: FleetGauges, grantsMax: Int?, queue: Int, untold: Int,
            resyncs: Int
        ) {
            self.isSidecarHere = isSidecarHere
            self.isConnected = isConnected
            self.gauges = gauges
            self.grantsMax = grantsMax
            self.queue = queue
            self.untold = untold
            self.resyncs = resyncs
        }
    }

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
