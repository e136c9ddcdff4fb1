import Addresses
import Clock
import FleetRecords

/// A point of time on both clocks: delays are measured on one, records carry the other.
public struct Moment: Hashable, Sendable {
    public var instant: Instant
    public var wall: Timestamp

    public init(_ instant: Instant, _ wall: Timestamp) {
        self.instant = instant
        self.wall = wall
    }

    var clocksDistance: Duration { .milliseconds(wall.milliseconds) - (instant - .zero) }
}

public enum FleetLease: Hashable, Sendable, CaseIterable {
    /// Of grants, of what ended, and of quarantines.
    case records
    case status
}

/// The keys that a node reads and watches.
public enum FleetRange: Hashable, Sendable {
    /// `pairs/PAIR/`
    case pair
    /// `quarantines/`
    case quarantines
}

public enum StoreOperation: Hashable, Sendable {
    case put(FleetKey, FleetRecord, FleetLease)
    case delete(FleetKey)

    public var key: FleetKey {
        switch self {
        case .put(let key, _, _), .delete(let key): key
        }
    }
}

/// What the shells of a node have to do. All but the last four concern the store.
public enum FleetAction: Hashable, Sendable {
    case connect
    case grantLease(FleetLease, Duration)
    case keepLease(FleetLease)
    /// One at a time; the shell answers with `transactionEnded`.
    case transact(id: UInt64, [StoreOperation])
    /// A page of records; only the newest question is answered. `nil` as revision: the newest, which the first page tells.
    case read(FleetRange, after: FleetKey?, revision: Int64?, max: Int)
    /// Both ranges, from this revision.
    case watch(from: Int64)
    case offerGrants([GrantOffer])
    /// The daemon passes over it if it has issued the grant itself meanwhile.
    case endCopy(SharedGrant)
    case offerQuarantines([QuarantineOffer])
    /// The daemon is to tell everything that it has.
    case hearDaemonAnew
}

/// What a watch tells, in the store's order.
public enum StoreChange: Hashable, Sendable {
    case put(FleetKey, FleetRecord)
    case delete(FleetKey)
}

/// A page of a range at a revision.
public struct StorePage: Sendable {
    public var records: [(key: FleetKey, record: FleetRecord)]
    public var revision: Int64
    public var isLast: Bool

    public init(_ records: [(key: FleetKey, record: FleetRecord)], revision: Int64, isLast: Bool) {
        self.records = records
        self.revision = revision
        self.isLast = isLast
    }
}

/// What a node counts.
public struct FleetCounters: Hashable, Sendable {
    public var refreshesDropped = 0
    public var changesDropped = 0
    /// Revocations that the other nodes aren't told.
    public var endsDropped = 0
    public var clampedTimes = 0
    /// Foreign grants beyond the limit.
    public var grantsRefused = 0
    public var quarantinesRefused = 0
    public var fullReads = 0

    public init() {}
}
