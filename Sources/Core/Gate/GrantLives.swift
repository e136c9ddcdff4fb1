import Addresses
import Configuration
import Firewall

/// How long unused grants live, and how much of that must be left for a look-up to change nothing.
///
/// A call over UDP may be forged. The grant that it opens lives for two minutes; the client's first packet makes
/// the kernel keep the grant as long as any other, and so does a look-up over TCP.
struct GrantLives: Sendable {
    /// The life of a grant after a call over UDP, until the first packet. Clients send that within seconds.
    static let unprovenMax: Duration = .seconds(120)
    /// The largest difference between the kernel's clock and ours about one end.
    static let tolerance: Duration = .seconds(1)

    let keep: Duration
    /// False if the administrator's rules use the sets, since these rules may not renew grants, and if `keep` is no longer
    /// than the short life. Then calls over UDP count in full.
    private let isUDPDoubted: Bool
    /// Half of `keep`, in nanoseconds.
    private let fresh: Int64
    private let freshOverUDP: Int64

    init(_ settings: Settings.Firewall) {
        keep = settings.keep
        isUDPDoubted = settings.management == .guardPorts && settings.keep > Self.unprovenMax
        fresh = keep.nanoseconds / 2
        freshOverUDP = isUDPDoubted ? Self.unprovenMax.nanoseconds / 2 : fresh
    }

    func whole(isUnproven: Bool) -> Duration { isUnproven ? min(keep, Self.unprovenMax) : keep }

    /// Whether a call over the transport may be forged, so that it doesn't prove its sender.
    func isDoubted(over transport: Transport) -> Bool { transport == .udp && isUDPDoubted }

    /// Whether the grant's remaining life, in nanoseconds, is long enough.
    @inline(__always)
    func suffices(_ left: Int64, over transport: Transport) -> Bool {
        left > (transport == .udp ? freshOverUDP : fresh)
    }

    /// The short life is at least half of `keep`: a grant's remaining life doesn't tell whether the grant is
    /// unproven.
    var isUnprovenHidden: Bool { isUDPDoubted && Self.unprovenMax.nanoseconds > fresh }

    /// Whether a call over UDP alone issued the element, and no packet has used it.
    func isUnproven(_ element: GrantElement) -> Bool {
        isUDPDoubted && element.packets == 0 && element.timeout <= Self.unprovenMax
    }
}
