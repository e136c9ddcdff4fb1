import Addresses
import Clock

/// A foreign grant for the daemon, which decides by its own policy, registry and liveness.
public struct GrantOffer: Hashable, Sendable {
    public var grant: SharedGrant
    /// The node in whose subtree it is.
    public var node: String
    /// The node that issued it, and when by that node's clock.
    public var origin: String
    public var issued: Timestamp
    /// Since its last use.
    public var age: Duration
    public var keep: Duration

    public init(
        grant: SharedGrant, node: String, origin: String, issued: Timestamp, age: Duration, keep: Duration
    ) {
        self.grant = grant
        self.node = node
        self.origin = origin
        self.issued = issued
        self.age = age
        self.keep = keep
    }
}

/// A quarantine of other nodes for the daemon, which decides whom it spares.
public struct QuarantineOffer: Hashable, Sendable {
    public var client: IPAddress
    public var until: Timestamp
    /// In the order of their names; the first few.
    public var nodes: [String]

    public init(client: IPAddress, until: Timestamp, nodes: [String]) {
        self.client = client
        self.until = until
        self.nodes = Array(nodes.prefix(Self.nodesMax))
    }

    public static let nodesMax = 8
}
