extension Settings {
    /// Where the rules come from, for people: the bundle's name if the policy of this host is not read.
    public var policyPlace: String {
        guard let bundle = fleet?.policy, bundle.mode == .replace else { return policyPath }
        return bundle.path ?? bundle.fileName
    }

    /// Grants of other nodes, at most.
    public var copiesMax: Int { min(fleet?.pair?.grants ?? 0, limits.copies) }

    /// What this host has in common with other nodes of a fleet.
    public struct Fleet: Hashable, Sendable {
        /// A signed policy that other nodes have, too.
        public struct Bundle: Hashable, Sendable {
            public enum Mode: String, Hashable, Sendable, CaseIterable {
                /// Its rules are added to those of ``Settings/policyPath``.
                case add
                /// The policy of this host is not read.
                case replace
            }
            public enum Expiry: String, Hashable, Sendable, CaseIterable {
                /// The rules stay in force behind the bundle's `not-after`.
                case keep
                /// Behind it they permit no new look-up; what is open stays open.
                case deny
            }
            public var group = ""
            /// `nil`: that of the first bundle that is accepted.
            public var fleet: String?
            public var mode: Mode = .add
            /// A file, or a folder that has `GROUP.bundle`; `nil`: the folder into which rpcwarden-fleet puts it.
            public var path: String?
            public var keysPath = "/etc/rpcwarden/fleet/policy.pub"
            /// `nil`: a bundle may have any rule, but for very short prefixes.
            public var ceilingPath: String?
            public var expiry: Expiry = .keep
            public init() {}

            public static let fetchedFolder = "/var/lib/rpcwarden-fleet"
            public var fileName: String { "\(group).bundle" }
        }

        /// Nodes that share their grants: what one has opened, the others open when they serve its clients.
        public struct Pair: Hashable, Sendable {
            public var name = ""
            /// Grants of the other nodes, at most.
            public var grants = 32_768
            public init() {}
        }

        /// The quarantines that nodes tell each other.
        public struct Quarantines: Hashable, Sendable {
            public var share = true
            public var accept = true
            /// Those of other nodes, at most.
            public var max = 4096
            /// So many other nodes must have quarantined a client.
            public var quorum = 1
            /// The longest that a quarantine of another node holds here, and that an operator's release keeps one away.
            public static let longest = Duration.seconds(3600)
            public init() {}
        }

        /// Where rpcwarden-fleet connects to the daemon.
        public var socketPath = "/run/rpcwarden/fleet.sock"
        /// The control socket of rpcwarden-fleet, for `rpcwarden fleet`.
        public var controlPath = SidecarSettings.controlPath
        public var policy: Bundle?
        public var pair: Pair?
        public var quarantines: Quarantines?
        public init() {}

        /// Whether rpcwarden-fleet has anything to do here: a bundle of one's own needs it not.
        public var isLinked: Bool {
            pair != nil || quarantines != nil || policy.map { $0.path == nil } ?? false
        }
    }
}
