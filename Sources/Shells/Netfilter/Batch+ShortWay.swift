import CNetfilter
import Firewall

/// Renewal and look-ups cost a packet more than all else that a firewall does with it. So beyond a rate grants are
/// renewed once in a while, and the packets between go a short way.
///
/// The flow's bit in `ct mark` is what opens it: a revocation deletes it with the conntrack entry, a new flow has yet to
/// get it. Others may set the bit too; so the packet must be of who began the flow, and not the flow's first: neither
/// can be had again after a revocation. `recent4` and `recent6` only say that the long way was gone a moment ago, and
/// renewed the grant.
extension Batch {
    private static let families = [
        (TableSet.recent4, NFPROTO_IPV4), (.recent6, NFPROTO_IPV6),
    ]

    mutating func addShortWay(_ shape: TableShape) {
        // ct mark and BIT == BIT ct direction original ct status confirmed jump short_way
        addRule("input", shape) {
            $0.hasFlowMark(shape.flowMark)
            $0.isReply(false)
            $0.isConfirmed()
            $0.verdict(.jump("short_way"))
        }

        // ip  saddr . meta l4proto . th dport @recent4 meta mark set … accept
        // ip6 saddr . meta l4proto . th dport @recent6 meta mark set … accept
        for (set, family) in Self.families {
            addRule("short_way", shape) {
                $0.isFamily(family)
                $0.load(set.fields)
                $0.lookup(set.rawValue)
                if shape.mark != 0 { $0.mark(shape.mark) }
                $0.verdict(.accept)
            }
        }
    }

    /// Before the flow gets the bit: the first packet of a flow neither waits for the limit's lock nor adds anything.
    mutating func addRecentRules(_ shape: TableShape) {
        // meta nfproto ipv4 ct mark and BIT == BIT limit rate over … add @recent4 { ip  saddr . … timeout 1s }
        // meta nfproto ipv6 ct mark and BIT == BIT limit rate over … add @recent6 { ip6 saddr . … timeout 1s }
        for (set, family) in Self.families {
            addRule("admitted", shape) {
                $0.isFamily(family)
                $0.hasFlowMark(shape.flowMark)
                $0.limit(.admitted, isOver: true)
                $0.load(set.fields)
                $0.update(set, NFT_DYNSET_OP_ADD, timeout: shape.renewalPause)
            }
        }
    }
}

extension TableShape {
    /// How much shorter than `keep` a grant may live after a packet that went the short way.
    var renewalPause: Duration { min(.seconds(1), keep / 4) }
}
