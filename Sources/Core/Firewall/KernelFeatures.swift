/// Features that not every kernel has.
public struct KernelFeatures: Hashable, Sendable {
    public var ownsTables: Bool
    /// NFLOG reports dropped packets.
    public var logsDrops: Bool

    public init(ownsTables: Bool, logsDrops: Bool) {
        self.ownsTables = ownsTables
        self.logsDrops = logsDrops
    }
}
