/// A host whose services policy is about: this one, or one behind this one.
///
/// A number by which keys tell servers apart; the configuration says which host it stands for.
public struct ServerID: Hashable, Sendable, Comparable, BitwiseCopyable {
    public var rawValue: UInt16

    public init(rawValue: UInt16) { self.rawValue = rawValue }

    public static let thisHost = ServerID(rawValue: 0)

    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}
