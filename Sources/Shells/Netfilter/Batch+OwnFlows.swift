import CNetfilter
import Firewall

/// What this host begins itself hears its replies, also when it does so from a guarded port.
///
/// A reply is told from a client's packet by the flow's direction; but a server that keeps sending after its client's
/// flow was cut makes a new one, of which it is the originator (loose pickup). So flows are marked that begin as only
/// one's own do: by TCP's SYN, or by a first datagram to somebody whose flow to that port was not cut a while ago.
/// docs/decisions/010-own-flows.md.
extension Batch {
    /// With the guard's first table conntrack may begin, and doesn't know who asked what was asked a moment ago. A service
    /// takes a few ms for its answer; who begins a flow of UDP in this time waits in vain.
    static let settlingTime: Duration = .milliseconds(200)
    /// Longer than conntrack keeps a flow of UDP (nf_conntrack_udp_timeout_stream: 120 s); a server that sends renews it.
    static let revokedTime: Duration = .seconds(600)

    private static let families = [(TableSet.revoked4, NFPROTO_IPV4), (.revoked6, NFPROTO_IPV6)]

    mutating func addOwnFlowRules(_ shape: TableShape) {
        // ct state new meta l4proto . th sport @guarded goto begun_here
        addRule("output", shape) {
            $0.isState(UInt32(CNF_CT_STATE_NEW))
            $0.load(TableSet.guarded.fields, ofReply: true)
            $0.lookup(TableSet.guarded.rawValue)
            $0.verdict(.goTo("begun_here"))
        }

        // tcp flags & (syn | ack) == syn ct mark set ct mark or BIT
        addRule("begun_here", shape) {
            $0.beginsConnection()
            $0.markFlow(shape.ownFlowMark)
        }

        // ip  daddr . meta l4proto . th sport @revoked4 update @revoked4 { ip  daddr . … timeout 10m } accept
        // ip6 daddr . meta l4proto . th sport @revoked6 update @revoked6 { ip6 daddr . … timeout 10m } accept
        for (set, family) in Self.families {
            addRule("begun_here", shape) {
                $0.isFamily(family)
                $0.load(set.fields, ofReply: true)
                $0.lookup(set.rawValue)
                $0.load(set.fields, ofReply: true)
                $0.update(set, timeout: Self.revokedTime)
                $0.verdict(.accept)
            }
        }

        // meta l4proto udp meta l4proto != @settling ct mark set ct mark or BIT
        addRule("begun_here", shape) {
            $0.isTransport(.udp)
            $0.load(TableSet.settling.fields)
            $0.lookup(TableSet.settling.rawValue, isInverted: true)
            $0.markFlow(shape.ownFlowMark)
        }
    }

    // ct direction reply ct mark and BIT == BIT accept
    mutating func addOwnReplyRule(_ shape: TableShape) {
        addRule("guarded_port", shape, comment: "this host asked") {
            $0.isReply(true)
            $0.hasFlowMark(shape.ownFlowMark)
            $0.verdict(.accept)
        }
    }
}
