import Addresses

extension Settings {
    /// The servers behind this gateway, in the order of their numbers.
    public var serverNames: [String] { gateway?.servers.map(\.name) ?? [] }

    /// The servers behind this host, and how their packets are told apart.
    public struct Gateway: Hashable, Sendable {
        public enum Routing: String, Hashable, Sendable, CaseIterable {
            /// rpcwarden makes its rules and routes, and restores them.
            case manage
            /// The administrator makes them; `doctor` examines them.
            case check
        }

        public var servers: [Server] = []
        public var routing: Routing = .manage
        /// The routing tables for the portmappers of servers, and of the clients that servers call back.
        public var tables: [UInt32] = [111, 112]
        /// The bits of the packet mark that select the tables, in their order.
        public var marks: [UInt32] = [0x20000, 0x40000]
        /// How long a port stays guarded after its registration is gone.
        public var linger: Duration = .seconds(600)
        public init() {}

        /// Every address by which clients know a server; calls to their port 111 are intercepted.
        public var interceptedAddresses: [IPAddress] { servers.flatMap { $0.addresses + $0.aliases } }
    }

    /// A server behind this gateway.
    public struct Server: Hashable, Sendable {
        public enum Liveness: String, Hashable, Sendable, CaseIterable {
            /// An RPC NULL call to the port.
            case call
            /// A TCP connection; UDP ports count as alive.
            case connect
            case off
        }
        public enum Guarded: String, Hashable, Sendable, CaseIterable {
            case registered
            /// Every port except those of `pass`.
            case all
        }
        public enum Callbacks: String, Hashable, Sendable, CaseIterable {
            case auto
            case off
        }
        /// The server's portmapper.
        public struct Portmapper: Hashable, Sendable {
            /// `nil`: the server's first address, port 111.
            public var endpoint: Endpoint?
            /// The address of this host that asks; `nil`: the kernel chooses.
            public var source: IPAddress?
            public var timeout: Duration = .milliseconds(800)
            public var refresh: Duration = .seconds(5)
            /// Names as that server tells them; `system`: uids 1 to 999, `any`: every owner.
            public var owners = ["superuser", "system"]
            public init() {}
        }

        /// A word, unique among the servers.
        public var name = ""
        /// Every address by which clients know the server.
        public var addresses: [IPAddress] = []
        /// Addresses that are translated one to one to the first of ``addresses``.
        public var aliases: [IPAddress] = []
        public var rpcbind = Portmapper()
        public var liveness: Liveness = .call
        public var guarded: Guarded = .registered
        public var pass: [PortRange] = []
        public var close: [PortRange] = []
        public var callbacks: Callbacks = .auto
        public init() {}

        /// Where the server's portmapper is asked.
        public var portmapper: Endpoint { rpcbind.endpoint ?? Endpoint(addresses.first ?? .v4(0), 111) }
    }
}
