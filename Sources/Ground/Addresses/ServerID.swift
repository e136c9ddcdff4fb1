/// An address of a host with services that policy is about: this host, or a server behind it.
///
/// The number distinguishes servers in keys; the configuration assigns it to an address. A client's grant is for the
/// address that it asked.
public struct ServerID: Hashable, Sendable, Comparable, BitwiseCopyable {
    public var rawValue: UInt16

    public init(rawValue: UInt16) { self.rawValue = rawValue }

    public static let thisHost = ServerID(rawValue: 0)

    /// Turns a key round: the service is one of the *client*, and the server's address calls it back.
    private static let callbackBit: UInt16 = 0x8000
    /// The addresses that can be numbered; the highest bit tells callbacks.
    public static let addressesMax = Int(callbackBit) - 1

    /// Whether this stands for services of clients that the server calls back.
    public var isCallback: Bool { rawValue & Self.callbackBit != 0 }

    /// The services of clients that this server calls back.
    public var callback: ServerID { ServerID(rawValue: rawValue | Self.callbackBit) }

    /// The server itself, for callbacks too.
    public var caller: ServerID { ServerID(rawValue: rawValue & ~Self.callbackBit) }

    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// A portmapper with its policy, whatever addresses it has: 0 is this host, and the servers behind this gateway follow
/// in the order of the configuration.
public typealias ServerNumber = Int
