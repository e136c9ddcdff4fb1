import Addresses
import Clock

/// The current state of one server behind this gateway.
public struct ServerGauges: Hashable, Sendable {
    /// What is known of the server's portmapper.
    public enum Portmapper: String, Hashable, Sendable, CaseIterable {
        case up
        case down
        /// It has not answered since the start; an earlier run's registry is in force.
        case stale
        /// It has never answered: nothing is known of the server's services.
        case never
    }

    public var name: String
    public var portmapper: Portmapper
    /// When ``portmapper`` became so; `nil` until the first attempt has ended.
    public var since: Timestamp?
    public var registrations = 0
    public var guarded = 0
    public var grants = 0

    public init(name: String, portmapper: Portmapper) {
        self.name = name
        self.portmapper = portmapper
    }
}

/// What other nodes of the fleet have here.
public struct FleetGauges: Hashable, Sendable {
    /// Their grants that are open here.
    public var grants: Int
    /// Their grants whose services aren't alive here.
    public var waiting: Int
    public var quarantines: Int

    public init(grants: Int = 0, waiting: Int = 0, quarantines: Int = 0) {
        self.grants = grants
        self.waiting = waiting
        self.quarantines = quarantines
    }
}

/// The current state, in addition to the totals of ``Counters``.
public struct Gauges: Hashable, Sendable {
    public var isEnforcing = true
    /// `nil` until the first attempt has ended.
    public var isRpcbindUp: Bool?
    /// A gateway whose policy is about its servers alone needs none of its own.
    public var needsRpcbind = true
    public var registrations = 0
    /// The table is in place, and no change from outside is known.
    public var isTableInPlace = false
    public var guarded = 0
    /// Guarded ports that have lost their mapping, with a socket that still listens.
    public var orphaned = 0
    /// Registrations over netids that no packet filter sees.
    public var unguardable = 0
    /// Registrations that rpcbind listed and that were not kept.
    public var omitted = 0
    public var standing = 0
    public var grants = 0
    public var grantsMax = 0
    public var remembered = 0
    public var quarantined = 0
    public var shielded: Set<Transport> = []
    public var connections = 0
    public var connectionsMax = 0
    public var callsUnderWay = 0
    /// In the order of the configuration.
    public var servers: [ServerGauges] = []

    public init() {}
}
