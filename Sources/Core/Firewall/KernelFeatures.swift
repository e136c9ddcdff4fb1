/// What this kernel can do, where not every kernel can.
public struct KernelFeatures: Hashable, Sendable {
    public var ownsTables: Bool
    /// NFLOG tells of dropped packets.
    public var logsDrops: Bool

    public init(ownsTables: Bool, logsDrops: Bool) {
        self.ownsTables = ownsTables
        self.logsDrops = logsDrops
    }
}
