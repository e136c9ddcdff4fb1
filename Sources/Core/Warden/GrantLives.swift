import Addresses
import Configuration
import Firewall

/// How long grants live that nobody uses, and how much of that must be left for a look-up to change nothing.
///
/// Anybody can ask over UDP in anybody's name. What such a call opens lives for two minutes; the client's first packet
/// makes the kernel keep it as long as any other, and so does a look-up over TCP.
struct GrantLives: Sendable {
    /// Until the first packet, after a call over UDP. Clients send that within seconds.
    static let unprovenMax: Duration = .seconds(120)
    /// The kernel's clock and ours tell an end apart by less than this.
    static let tolerance: Duration = .seconds(1)

    let keep: Duration
    /// Where the administrator's rules use the sets they may not renew what they let pass: there a call is a call.
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

    /// What a call over the transport doesn't prove: that the client itself asked.
    func isDoubted(over transport: Transport) -> Bool { transport == .udp && isUDPDoubted }

    /// What is left of a grant suffices, in nanoseconds.
    @inline(__always)
    func suffices(_ left: Int64, over transport: Transport) -> Bool {
        left > (transport == .udp ? freshOverUDP : fresh)
    }

    /// The short life is no shorter than half of `keep`: its rest alone doesn't tell it from another one's.
    var isUnprovenHidden: Bool { isUDPDoubted && Self.unprovenMax.nanoseconds > fresh }

    /// The element was issued on the word of a call over UDP, and no packet has used it.
    func isUnproven(_ element: GrantElement) -> Bool {
        isUDPDoubted && element.packets == 0 && element.timeout <= Self.unprovenMax
    }
}
