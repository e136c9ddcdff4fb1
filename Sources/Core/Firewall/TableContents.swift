import Addresses

/// The table's elements, as the kernel holds them.
public struct TableContents: Hashable, Sendable {
    public var guarded: Set<ServicePort> = []
    public var granted: [GrantElement] = []
    /// Expired grants that a packet revives; their packets aren't counted.
    public var remembered: [GrantElement] = []
    public var standing: Set<StandingKey> = []
    public var callers: Set<CallersKey> = []
    /// The quarantined clients, each with the time that is left.
    public var quarantined: [IPAddress: Duration] = [:]

    /// The kernel holds exactly these grants, in sets that can stay as they are: see
    /// ``Operation/adoptTable(_:)``.
    public var grantsMayBeKept = false

    public init() {}
}
