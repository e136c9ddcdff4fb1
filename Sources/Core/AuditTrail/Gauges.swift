import Addresses

/// What there is at the moment, beside the totals of ``Counters``.
public struct Gauges: Hashable, Sendable {
    public var isEnforcing = true
    /// `nil` until the first attempt has ended.
    public var isRpcbindUp: Bool?
    public var registrations = 0
    /// The table is in place, and not changed from outside as far as we know.
    public var isTableInPlace = false
    public var guarded = 0
    /// Guarded ports whose mapping is gone, and whose socket still listens.
    public var orphaned = 0
    /// Registrations over netids that no packet filter sees.
    public var unguardable = 0
    /// Registrations that rpcbind told and that were not kept.
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

    public init() {}
}
