/// The table apart from its elements: what design.md's model leaves to settings.
public struct TableShape: Hashable, Sendable {
    public enum Management: String, Hashable, Sendable {
        /// Own chain, which drops.
        case guardPorts = "guard"
        /// Only the sets; the administrator's rules use them.
        case sets
    }

    public var name: String
    public var management: Management
    /// Observe mode: what enforce would drop is counted and accepted.
    public var observes: Bool
    /// Or'ed into the packet mark of accepted packets; 0 sets none.
    public var mark: UInt32
    /// A grant lives this long after its last packet.
    public var keep: Duration
    /// The size of `granted4` and of `granted6`, and of `remembered4` and `remembered6`, in elements; those count that
    /// have expired but that the kernel has not yet swept away.
    public var grantsMax: Int
    /// The size of `quarantined4` and of `quarantined6`, in elements.
    public var quarantinesMax: Int
    /// Only the process that made the table may change it, also by `nft flush ruleset`; it outlives that process.
    /// Needs kernel 6.9.
    public var isOwned: Bool = false
    /// The NFLOG group to which guard management logs what it drops, a part of it; 0: none. See ``DroppedPacket``.
    /// A kernel without NFLOG refuses the table: have `DropLog` bound to the group first.
    public var logGroup: UInt16 = 0

    public init(
        name: String = "rpcwarden", management: Management = .guardPorts, observes: Bool = false,
        mark: UInt32 = 0x10000, keep: Duration = .seconds(86_400), grantsMax: Int = 65_536,
        quarantinesMax: Int = 65_536
    ) {
        self.name = name
        self.management = management
        self.observes = observes
        self.mark = mark
        self.keep = keep
        self.grantsMax = grantsMax
        self.quarantinesMax = quarantinesMax
    }
}
