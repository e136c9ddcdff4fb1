import CNetfilter
import Firewall

/// Replies to flows that this host begins are accepted, even if it begins them from a guarded port.
///
/// The flow's direction tells a reply from a client's packet. But a server that keeps sending after its client's
/// flow was cut makes a new flow, with the server as originator (loose pickup). So a flow gets the mark only if it
/// begins as a flow of this host's own does: with TCP's SYN, or with a first datagram to an address whose flow to
/// that port was not cut recently. docs/decisions/010-own-flows.md.
extension Batch {
    /// With the guard's first table conntrack may begin, and it doesn't know the direction of exchanges under way.
    /// A service takes a few ms to answer; a flow of UDP that this host begins within this time gets no replies.
    static let settlingTime: Duration = .milliseconds(200)
    /// Longer than conntrack keeps a flow of UDP (nf_conntrack_udp_timeout_stream: 120 s); each packet that the
    /// server sends renews it.
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
    mutating func addOwnReplyRule(_ chain: String, _ shape: TableShape, comment: String) {
        addRule(chain, shape, comment: comment) {
            $0.isReply(true)
            $0.hasFlowMark(shape.ownFlowMark)
            $0.verdict(.accept)
        }
    }
}
