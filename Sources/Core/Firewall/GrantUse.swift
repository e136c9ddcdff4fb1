/// The kernel's figures of one grant, read without reading all grants.
public struct GrantUse: Hashable, Sendable {
    public var expiresIn: Duration
    public var packets: UInt64

    public init(expiresIn: Duration, packets: UInt64) {
        self.expiresIn = expiresIn
        self.packets = packets
    }
}
