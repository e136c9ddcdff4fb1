import Addresses

/// The reason for a call's denial (rpcwarden-audit(5), REASONS).
public enum DenialReason: String, Error, TableKey, Sendable, CaseIterable, BitwiseCopyable {
    case stranger
    case noRule = "no-rule"
    case noList = "no-list"
    case listOverUDP = "udp-list"
    case transport
    case remoteRegistration = "remote-registration"
    case remoteCall = "remote-call"
    case notServed = "not-served"
    case untrustedOwner = "untrusted-owner"
    case notListening = "not-listening"
    case neverPort = "never-port"
    case rate
    case grantsFull = "grants-full"
    case firewallFailed = "firewall-failed"
    case rpcbindDown = "rpcbind-down"
    case broadcast

    public func hash(into hasher: inout Hasher) { hasher.combine(caseOf: self) }
    public func combine(into hash: inout TableHash) { hash.combine(caseOf: self) }

    /// Whether observe mode permits calls that enforce mode denies for this reason. Registrations, remote calls,
    /// and calls that can't be answered stay denied.
    public var isLiftedByObserving: Bool {
        switch self {
        case .stranger, .noRule, .noList, .listOverUDP, .transport, .untrustedOwner, .notListening, .neverPort, .rate,
            .grantsFull, .firewallFailed:
            true
        case .remoteRegistration, .remoteCall, .notServed, .rpcbindDown, .broadcast: false
        }
    }
}
