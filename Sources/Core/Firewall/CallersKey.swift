import Addresses

/// An element of `callers4` or `callers6`: the clients whose portmapper a server may ask.
///
/// The server asks from this address, and the clients are of the same address family.
public struct CallersKey: Hashable, Sendable, Comparable, CustomStringConvertible {
    public var server: ServerID
    public var clients: AddressRange

    public init(server: ServerID, clients: AddressRange) {
        self.server = server
        self.clients = clients
    }

    public static func < (left: Self, right: Self) -> Bool {
        left.server != right.server ? left.server < right.server : left.clients < right.clients
    }

    public var description: String { "\(clients)" }
}
