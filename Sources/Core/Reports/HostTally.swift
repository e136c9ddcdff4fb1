import AuditTrail
import Clock

/// What the log tells of one host, line by line.
///
/// ```
/// unknown ──started──▶ running ──stopped──▶ stopped
///    │                    ▲  └─started: it ended without a word, and the record has a gap; but not if all lines
///    └──any other line────┘    are of this start
/// ```
struct HostTally {
    enum State: Hashable {
        case unknown
        case running
        case stopped(Timestamp)
    }

    var lines = 0
    var permitted = 0
    var granted = 0
    var first: Timestamp
    var last: Timestamp
    var state = State.unknown
    var hasStart = false
    var mode: Mode?
    /// The place of the tampering that isn't undone yet.
    var openTampering: Int?
    /// The place of the last gap by lines that were not written, which the next such line may continue.
    var openSuppression: Int?

    init(at time: Timestamp) { (first, last) = (time, time) }

    /// Whether a daemon that tells at this time that it is ready may have written all lines so far, as `rpcbind-up`.
    func mayBeginStart(endingAt time: Timestamp) -> Bool { !hasStart && time <= first + Self.startMax }

    /// The unit's TimeoutStartSec.
    private static let startMax: Duration = .seconds(90)
}

/// The daemon's mode, as `started`, `reloaded` and denials tell it.
public enum Mode: String, Hashable, Sendable {
    case enforce, observe

    /// The mode that the event tells of, if it does.
    init?(of event: AuditEvent) {
        switch event.kind {
        // `rpcwarden 0.2.0, enforce`
        case .started: self.init(named: event.detail?.split(separator: ",").last)
        // `mode changed from observe to enforce; settings changed`
        case .reloaded:
            guard let change = event.detail?.split(separator: ";").first(where: { $0.hasPrefix("mode changed from ") })
            else { return nil }
            self.init(named: change.split(separator: " ").last)
        case .denied:
            if !event.isEnforced {
                self = .observe
            } else if event.provesEnforcement {
                self = .enforce
            } else {
                return nil
            }
        case .permitted, .malformed, .granted, .renewed, .expired, .revoked, .enumeration, .quarantined, .released,
            .probed, .registered, .unregistered, .untrustedRegistration, .staleRegistration, .tampered, .restored,
            .rpcbindDown, .rpcbindUp, .reloadRefused, .stopped, .suppressed, .shielded, .orphaned, .unguardable,
            .policyAccepted, .policyRefused, .policyExpired, .fleetConnected, .fleetLost:
            return nil
        }
    }

    private init?(named text: Substring?) {
        guard let text else { return nil }
        self.init(rawValue: String(text.drop { $0 == " " }))
    }
}

extension AuditEvent {
    /// Whether observe mode would have let the denied call pass.
    ///
    /// Observe mode, too, denies what costs too much: beyond the rate, a stranger's list over UDP, and what the kernel drops
    /// (which has a detail); and calls that can't be served.
    fileprivate var provesEnforcement: Bool {
        switch reason {
        case .stranger?, .noRule?, .noList?, .transport?:
            detail == nil && !(procedure == "dump" && transport == .udp)
        case .listOverUDP?, .remoteRegistration?, .remoteCall?, .notServed?, .untrustedOwner?, .notListening?,
            .neverPort?, .rate?, .grantsFull?, .firewallFailed?, .rpcbindDown?, .broadcast?, nil:
            false
        }
    }
}
