/// Packets that the table's rules dropped since it was made; in observe mode, packets that they would have
/// dropped.
public struct DropCounts: Hashable, Sendable {
    /// Packets at guarded ports, without a grant.
    public var guarded: UInt64 = 0
    /// Packets from quarantined clients, to the portmapper.
    public var quarantined: UInt64 = 0
    /// Packets from strangers, to the portmapper, while it is shielded.
    public var strangers: UInt64 = 0
    /// Of all these, packets that the kernel logged and could not report, since the daemon's start.
    public var unreported: UInt64 = 0

    public init() {}
}
