/// The table apart from its elements, as the settings define it.
public struct TableShape: Hashable, Sendable {
    public enum Management: String, Hashable, Sendable {
        /// Own chain, which drops packets.
        case guardPorts = "guard"
        /// Only the sets; the administrator's rules use them.
        case sets
    }

    public var name: String
    public var management: Management
    /// Observe mode: packets that enforce would drop are counted and accepted.
    public var observes: Bool
    /// Or'ed into the packet mark of accepted packets; 0 sets none.
    public var mark: UInt32
    /// The bit of the connection mark that admitted flows carry.
    public var flowMark: UInt32 = defaultFlowMark
    /// The bit of the connection mark of flows that this host began from a guarded port.
    public var ownFlowMark: UInt32 = defaultOwnFlowMark
    /// A grant lives this long after its last packet.
    public var keep: Duration
    /// The size of `granted4` and of `granted6`, and of `remembered4` and `remembered6`, in elements. Expired
    /// elements count until the kernel sweeps them away.
    public var grantsMax: Int
    /// The size of `quarantined4` and of `quarantined6`, in elements.
    public var quarantinesMax: Int
    /// Only the process that made the table may change it, which also stops `nft flush ruleset`; the table
    /// outlives that process. Needs kernel 6.9.
    public var isOwned: Bool = false
    /// The NFLOG group to which guard management logs a part of the dropped packets; 0: none. See
    /// ``DroppedPacket``. A kernel without NFLOG refuses the table: have `DropLog` bound to the group first.
    public var logGroup: UInt16 = 0
    /// `nil`: this host alone.
    public var gateway: GatewayShape?

    // Chosen with regard to the bits that other software uses: docs/decisions/011-mark-bits.md.
    public static let defaultMark: UInt32 = 0x2000
    public static let defaultFlowMark: UInt32 = 0x2000_0000
    public static let defaultOwnFlowMark: UInt32 = 0x4000_0000

    public init(
        name: String = "rpcwarden", management: Management = .guardPorts, observes: Bool = false,
        mark: UInt32 = defaultMark, keep: Duration = .seconds(86_400), grantsMax: Int = 65_536,
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
