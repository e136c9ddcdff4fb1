import Addresses

/// A route in one of our tables; always of the protocol `kernel`.
///
///     ip route add local DESTINATION dev lo table TABLE protocol kernel
///     ip route add throw DESTINATION table TABLE protocol kernel
public struct RoutingEntry: Hashable, Sendable, CustomStringConvertible {
    public enum Kind: String, Hashable, Sendable {
        /// The packet goes to this host's own sockets.
        case local
        /// The look-up goes on with the next rule.
        case `throw`
    }

    public var family: RoutingFamily
    public var table: UInt32
    public var kind: Kind
    /// `nil`: the default route.
    public var destination: IPAddress?

    public init(_ family: RoutingFamily, table: UInt32, _ kind: Kind, _ destination: IPAddress?) {
        self.family = family
        self.table = table
        self.kind = kind
        self.destination = destination
    }

    public var description: String {
        "\(family) route \(kind.rawValue) \(destination.map { "\($0)" } ?? "default") of table \(table)"
    }
}
