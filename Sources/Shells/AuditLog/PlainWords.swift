import Addresses
import AuditTrail

/// An audit event as a sentence, for the journal's MESSAGE.
extension AuditEvent {
    var plainWords: String {
        switch kind {
        case .permitted: "permitted \(who): \(asked)\(by)\(extra)"
        case .denied: "denied \(who): \(asked) (\(reason?.rawValue ?? "no reason"))\(extra)\(unenforced)"
        case .malformed: "malformed call of \(who)\(over)\(extra)"
        case .granted: "opened \(port(granted)) to \(who)\(`for`)\(by)"
        case .renewed: "renewed \(port(granted)) for \(who)\(`for`)\(by)\(extra)"
        case .expired: "closed \(port(granted)) to \(who), who no longer uses it"
        case .revoked: "closed \(port(granted)) to \(who)\(extra)"
        case .enumeration: "\(who) enumerates\(over), \(count ?? 0) denials\(extra)\(unenforced)"
        case .quarantined: "quarantined \(who) for \(seconds)\(extra)\(unenforced)"
        case .released: "released \(who) from quarantine\(extra)"
        case .probed: "\(who) sent a packet to \(detail ?? "a guarded port") without a grant\(unenforced)"
        case .registered: "\(service) was registered\(extra)"
        case .unregistered: "\(service) is no longer registered\(extra)"
        case .untrustedRegistration: "\(service) was registered by somebody who is not trusted\(extra)"
        case .staleRegistration: "\(service) is registered, but does not listen\(extra)"
        case .tampered: "the firewall was changed from outside\(extra)"
        case .restored: "the firewall table was put back\(extra)"
        case .rpcbindDown: "rpcbind does not answer\(extra)"
        case .rpcbindUp: "rpcbind answers"
        case .reloaded: "configuration and policy were read anew\(extra)"
        case .reloadRefused: "configuration and policy were refused, the old ones stay in force\(extra)"
        case .policyAccepted: "the fleet's policy is in force\(extra)"
        case .policyRefused: "the fleet's policy was refused, the old one stays in force\(extra)"
        case .policyExpired: "the fleet's policy has expired\(extra)"
        case .fleetConnected: "the fleet's store is reached\(extra)"
        case .fleetLost: "the fleet's store is not reached, and nothing here waits for it\(extra)"
        case .started: "ready\(extra)"
        case .stopped: "stopped\(extra)"
        case .suppressed: "\(count ?? 0) events within \(seconds) were not written in full\(extra)"
        case .orphaned: "\(service) lost its registration\(extra)"
        case .unguardable: "\(service) can't be guarded\(extra)"
        case .shielded: "the kernel drops strangers\(over) for \(seconds)\(extra)"
        }
    }

    private var who: String { client?.description ?? "somebody" }
    private var over: String { transport.map { " over \($0)" } ?? "" }
    private var by: String { rule.map { ", by \($0)" } ?? "" }
    private var extra: String { detail.map { ": \($0)" } ?? "" }
    private var unenforced: String { isEnforced ? "" : " (observed only)" }
    private var seconds: String { "\((window ?? .zero).nanoseconds / 1_000_000_000) s" }
    private var `for`: String { program == nil ? "" : " for \(service)" }

    /// `mountd v3`, `program 200000`.
    private var service: String {
        let name = programName ?? program.map { "program \($0)" } ?? "a service"
        return version.map { "\(name) v\($0)" } ?? name
    }

    /// `getport of mountd v3 over udp`.
    private var asked: String {
        guard let procedure else { return "a call\(over)" }
        // For programs that rpcwarden doesn't serve, only the procedure's number is known.
        let name = procedure.first?.isNumber == true ? "procedure \(procedure)" : procedure
        return "\(name) of \(service)\(over)"
    }

    private func port(_ granted: ServicePort?) -> String { granted?.description ?? "a port" }
}
