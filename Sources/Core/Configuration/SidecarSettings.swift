/// What fleet.yaml tells rpcwarden-fleet.
public struct SidecarSettings: Hashable, Sendable {
    /// A member of the store: `https://etcd1:2379`.
    public struct Endpoint: Hashable, Sendable, CustomStringConvertible {
        /// A host name or an address, without brackets.
        public var host: String
        public var port: UInt16

        public init(host: String, port: UInt16) {
            self.host = host
            self.port = port
        }

        public var description: String { "https://\(host.contains(":") ? "[\(host)]" : host):\(port)" }
    }

    /// The store, and what proves this node's identity there.
    public struct Store: Hashable, Sendable {
        public var endpoints: [Endpoint] = []
        /// The certificates of the authorities that may vouch for the store.
        public var caPath = "/etc/rpcwarden/fleet/ca.pem"
        public var certificatePath: String?
        public var keyPath: String?
        public var user: String?
        /// `nil`: systemd's credential `etcd-password`.
        public var passwordPath: String?
        public init() {}
    }

    public var fleet = "default"
    /// `nil`: the name of the host.
    public var node: String?
    public var store = Store()
    /// The daemon's socket.
    public var socketPath = "/run/rpcwarden/fleet.sock"
    /// The sidecar's own, for its commands.
    public var controlPath = Self.controlPath
    /// The folder of the fetched policy; `nil`: ``defaultStatePath``, or systemd's STATE_DIRECTORY.
    public var statePath: String?
    public init() {}

    public static let controlPath = "/run/rpcwarden-fleet/control.sock"
    public static let defaultStatePath = Settings.Fleet.Bundle.fetchedFolder
}
