/// Packets that the table's rules dropped since it was made; in observe mode, that they would have dropped.
public struct DropCounts: Hashable, Sendable {
    /// At guarded ports, without a grant.
    public var guarded: UInt64 = 0
    /// From quarantined clients, to the portmapper.
    public var quarantined: UInt64 = 0
    /// From strangers, to the portmapper, while it is shielded.
    public var strangers: UInt64 = 0

    public init() {}
}
