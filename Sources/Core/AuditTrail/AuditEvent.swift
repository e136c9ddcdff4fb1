import Addresses

/// One line of the audit log (rpcwarden-audit(5)); the shell adds the time.
public struct AuditEvent: Hashable, Sendable {
    public enum Kind: String, TableKey, Sendable, CaseIterable, BitwiseCopyable {
        case permitted, denied, malformed, granted, renewed, expired, revoked, enumeration, quarantined, released
        case probed, registered, unregistered
        case untrustedRegistration = "untrusted-registration"
        case staleRegistration = "stale-registration"
        case tampered, restored
        case rpcbindDown = "rpcbind-down"
        case rpcbindUp = "rpcbind-up"
        case reloaded
        case reloadRefused = "reload-refused"
        case started, stopped, suppressed
        /// A fleet's bundle is in force.
        case policyAccepted = "policy-accepted"
        /// A fleet's bundle was refused; the old policy stays in force.
        case policyRefused = "policy-refused"
        /// The fleet's bundle in force is older than its publisher meant it to get.
        case policyExpired = "policy-expired"
        /// The sidecar has the store of the fleet.
        case fleetConnected = "fleet-connected"
        /// The sidecar, or its connection to the store, is gone; nothing here waits for it.
        case fleetLost = "fleet-lost"
        /// The kernel drops strangers in front of the portmapper for a while: there are too many.
        case shielded
        /// A mapping is gone, and its socket still listens.
        case orphaned
        /// A service is registered over RDMA.
        case unguardable

        public func hash(into hasher: inout Hasher) { hasher.combine(caseOf: self) }
        public func combine(into hash: inout TableHash) { hash.combine(caseOf: self) }
    }

    public var kind: Kind
    public var client: IPAddress?
    /// The peer's source port.
    public var port: UInt16?
    public var transport: Transport?
    public var program: Program?
    public var programName: String?
    public var version: UInt32?
    public var procedure: String?
    /// For a lookup: the transport of the service, by which policy decides; ``transport`` is the one of the call.
    public var over: Transport?
    public var reason: DenialReason?
    public var rule: String?
    public var xid: UInt32?
    /// This host's name by `audit.host`; the shell sets it.
    public var host: String?
    /// The name of the server behind this gateway that the event is about; `nil`: this host.
    public var server: String?
    public var granted: ServicePort?
    public var count: Int?
    public var window: Duration?
    public var detail: String?
    /// `false` in observe mode, if enforce would have denied the call.
    public var isEnforced = true

    public init(_ kind: Kind, detail: String? = nil) {
        self.kind = kind
        self.detail = detail
    }

    /// The rule of a server's calls to its clients' portmappers, and of the grants that it gets by them: no rule of
    /// policy names them.
    public static func callbackRule(of server: String) -> String { callbackRulePrefix + server }

    private static let callbackRulePrefix = "callbacks of "

    /// Whether the event is about a server that calls its client back.
    public var isOfCallback: Bool { server != nil && rule?.hasPrefix(Self.callbackRulePrefix) == true }

    /// The event's `decision`, if it is one.
    public var decision: String? {
        switch kind {
        case .permitted, .denied: kind.rawValue
        case .malformed, .granted, .renewed, .expired, .revoked, .enumeration, .quarantined, .released, .probed,
            .registered, .unregistered, .untrustedRegistration, .staleRegistration, .tampered, .restored,
            .rpcbindDown, .rpcbindUp, .reloaded, .reloadRefused, .started, .stopped, .suppressed, .shielded, .orphaned,
            .unguardable, .policyAccepted, .policyRefused, .policyExpired, .fleetConnected, .fleetLost:
            nil
        }
    }
}
