/// What the kernel tells of one grant without reading all of them.
public struct GrantUse: Hashable, Sendable {
    public var expiresIn: Duration
    public var packets: UInt64

    public init(expiresIn: Duration, packets: UInt64) {
        self.expiresIn = expiresIn
        self.packets = packets
    }
}
