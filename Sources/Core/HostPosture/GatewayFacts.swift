import Addresses
import Firewall

/// The servers behind this host, and their routing, by the configuration.
public struct GatewayExpectations: Hashable, Sendable {
    public struct Server: Hashable, Sendable {
        public var name: String
        /// Every address by which clients know the server.
        public var addresses: [IPAddress]

        public init(_ name: String, _ addresses: [IPAddress]) {
            self.name = name
            self.addresses = addresses
        }
    }

    public var servers: [Server]
    public var plan: RoutingPlan
    /// `routing: manage`; otherwise the administrator makes rules and routes.
    public var managesRouting = true
    /// Some rule of the policy is about this host, so its own rpcbind is asked.
    public var servesThisHost = true

    public init(_ servers: [Server], _ plan: RoutingPlan) {
        self.servers = servers
        self.plan = plan
    }

    var addresses: [IPAddress] { servers.flatMap(\.addresses) }
    var families: [RoutingFamily] {
        RoutingFamily.allCases.filter { family in addresses.contains { RoutingFamily($0) == family } }
    }
    var marks: UInt32 { plan.toServers.mark | plan.toClients.mark }
}

/// The observed state of a gateway.
public struct GatewayFacts: Hashable, Sendable {
    /// A server as the running daemon knows it.
    public struct Server: Hashable, Sendable {
        public var name: String
        /// `up`, `down`, `stale`, `never`, or a word that later versions have.
        public var rpcbind: String
        public var since: String?

        public init(_ name: String, rpcbind: String, since: String? = nil) {
            self.name = name
            self.rpcbind = rpcbind
            self.since = since
        }
    }

    /// `net.ipv4.ip_forward` and `net.ipv6.conf.all.forwarding`; no entry: unknown.
    public var forwards: [RoutingFamily: Bool] = [:]
    /// The families of `net.bridge.bridge-nf-call-iptables` and `bridge-nf-call-ip6tables`.
    public var bridgesCallHooks: Set<RoutingFamily> = []
    /// Interfaces with `rp_filter` 1 that look routes up with the packet's mark (`src_valid_mark`).
    public var strictInterfaces: [String] = []
    /// `nil`: unknown.
    public var routing: RoutingListing?
    /// Whether the unit rpcwarden.socket makes transparent sockets; `nil`: there is no such unit, or it isn't asked.
    public var isTransparent: Bool?
    /// Empty: the daemon doesn't run, or doesn't tell.
    public var servers: [Server] = []

    public init() {}
}
