import Addresses

/// The scope of a grant: one service port, for one client.
///
/// If the service is a callback's (``ServerID/isCallback``), it is the client's, and opens for the server's address.
public struct GrantKey: TableKey, Sendable, Comparable, CustomStringConvertible {
    public var client: IPAddress
    public var service: ServicePort

    public init(client: IPAddress, service: ServicePort) {
        self.client = client
        self.service = service
    }

    public func combine(into hash: inout TableHash) {
        client.combine(into: &hash)
        service.combine(into: &hash)
    }

    public static func < (left: Self, right: Self) -> Bool {
        left.client != right.client ? left.client < right.client : left.service < right.service
    }

    public var description: String { "\(client) \(service)" }
}

/// An element of `standing4` or `standing6`: one service port, always open for a range of clients.
public struct StandingKey: Hashable, Sendable, Comparable, CustomStringConvertible {
    public var clients: AddressRange
    public var service: ServicePort

    public init(clients: AddressRange, service: ServicePort) {
        self.clients = clients
        self.service = service
    }

    public static func < (left: Self, right: Self) -> Bool {
        left.service != right.service ? left.service < right.service : left.clients < right.clients
    }

    public var description: String { "\(clients) \(service)" }
}

/// An element of `granted4` or `granted6`, or of `remembered4` or `remembered6`, as the kernel holds it.
public struct GrantElement: Hashable, Sendable {
    public var key: GrantKey
    /// How long the element lives after its last packet.
    public var timeout: Duration
    /// The remaining part of `timeout`.
    public var expiresIn: Duration
    /// Packets that used the grant since it was last issued; above a rate not all of them are counted. `nft list`
    /// shows twice as many, and twice the `bytes`: the rules look the element up and renew it, and the kernel
    /// counts both. If the administrator's rules use the sets (`manage: sets`) it is the kernel's own number, one
    /// for each look-up and renewal by those rules.
    public var packets: UInt64
    public var bytes: UInt64
    public var comment: String

    public init(
        key: GrantKey, timeout: Duration, expiresIn: Duration, packets: UInt64, bytes: UInt64, comment: String
    ) {
        self.key = key
        self.timeout = timeout
        self.expiresIn = expiresIn
        self.packets = packets
        self.bytes = bytes
        self.comment = comment
    }
}
