/// A host with services that policy is about: this host, or one behind it.
///
/// The number distinguishes servers in keys; the configuration assigns it to a host.
public struct ServerID: Hashable, Sendable, Comparable, BitwiseCopyable {
    public var rawValue: UInt16

    public init(rawValue: UInt16) { self.rawValue = rawValue }

    public static let thisHost = ServerID(rawValue: 0)

    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}
