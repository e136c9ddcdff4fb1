import AuditTrail
import Clock

/// The evidence for a permission.
struct Evidence: Hashable, Sendable {
    var calls = 0
    /// The calls among these that observe mode let pass and enforce would have denied.
    var denied = 0
    var cameOverTCP = false
    /// Packets to the port without a look-up.
    var probes = 0
    var first: Timestamp
    var last: Timestamp

    init(at time: Timestamp) { (first, last) = (time, time) }

    static func += (sum: inout Self, other: Self) {
        sum.calls += other.calls
        sum.denied += other.denied
        sum.cameOverTCP = sum.cameOverTCP || other.cameOverTCP
        sum.probes += other.probes
        sum.first = min(sum.first, other.first)
        sum.last = max(sum.last, other.last)
    }

    static func of(_ event: AuditEvent, at time: Timestamp) -> Self {
        var evidence = Self(at: time)
        if event.kind == .probed {
            evidence.probes = 1
        } else {
            evidence.calls = 1
            evidence.denied = event.kind == .denied ? 1 : 0
            evidence.cameOverTCP = event.transport == .tcp
        }
        return evidence
    }
}

/// Log entries that no policy can permit, or should.
enum Remark: Hashable, Sendable, Comparable {
    /// Denied in enforce mode, by the policy in force.
    case enforced
    case listingOverUDP
    case rate
    case owner
    case neverPort
    case unservable(DenialReason)
    /// Packets to guarded ports of services that the client never looked up.
    case probed
    case numberZero
    /// More clients and programs than the memory holds.
    case tooMany
    /// Lines that the log's own limits suppressed.
    case suppressed

    private var order: String { "\(self)" }

    static func < (left: Self, right: Self) -> Bool { left.order < right.order }

    func text(_ count: Int) -> String {
        switch self {
        case .enforced: "\(counted(count, "call")) denied in enforce mode: not learned from"
        case .listingOverUDP:
            "\(counted(count, "listing")) (DUMP, GETADDRLIST) over UDP: `limits.udp-list` denies them, whatever the policy"
        case .rate: "\(counted(count, "call")) beyond `limits.calls-per-second`: raise it, if these are your clients"
        case .owner: "\(counted(count, "look-up")) of a registration of an untrusted owner: see `rpcbind.owners`"
        case .neverPort: "\(counted(count, "look-up")) of a port of `firewall.never`"
        case .unservable(let reason): "\(counted(count, "call")) denied as \(reason.rawValue), which no policy permits"
        case .probed: "\(counted(count, "packet")) to services that their clients never looked up: not learned from"
        case .numberZero: "\(counted(count, "look-up")) of program 0, which no policy can name"
        case .tooMany:
            "\(counted(count, "call")) not learned from: too many clients and programs"
        case .suppressed:
            "\(counted(count, "line")) missing from the log (`suppressed`): the policy may permit too little"
        }
    }
}

/// `1 call`, `2 calls`.
func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }
