/// An address of a host with services that policy is about: this host, or a server behind it.
///
/// The number distinguishes servers in keys; the configuration assigns it to an address. A client's grant is for the
/// address that it asked.
public struct ServerID: Hashable, Sendable, Comparable, BitwiseCopyable {
    public var rawValue: UInt16

    public init(rawValue: UInt16) { self.rawValue = rawValue }

    public static let thisHost = ServerID(rawValue: 0)

    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// A portmapper with its policy, whatever addresses it has: 0 is this host, and the servers behind this gateway follow
/// in the order of the configuration.
public typealias ServerNumber = Int
