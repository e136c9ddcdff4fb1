extension Settings {
    /// Where the rules come from, for people: the bundle's name if the policy of this host is not read.
    public var policyPlace: String {
        guard let bundle = fleet?.policy, bundle.mode == .replace else { return policyPath }
        return bundle.path ?? bundle.fileName
    }

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

        public var policy: Bundle?
        public init() {}
    }
}
