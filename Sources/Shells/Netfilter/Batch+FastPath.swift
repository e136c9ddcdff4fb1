import CNetfilter
import Firewall

/// Renewing a grant and looking it up cost more per packet than all else that a firewall does. So beyond a packet
/// rate, grants are renewed only now and then, and the packets in between take a short path.
///
/// The flow's bit in `ct mark` opens the short path: a revocation deletes it with the conntrack entry, and a new
/// flow doesn't have it yet. Other software may set the bit too. So the packet must also come from the flow's
/// originator and must not be the flow's first: neither can hold again after a revocation. `recent4` and `recent6`
/// (`recent_at4` and `recent_at6` for a gateway's servers) only say that a packet took the long path a moment ago and
/// renewed the grant.
extension Batch {
    static let recent = [(TableSet.recent4, NFPROTO_IPV4), (.recent6, NFPROTO_IPV6)]
    static let recentAt = [(TableSet.recentAt4, NFPROTO_IPV4), (.recentAt6, NFPROTO_IPV6)]

    /// - Parameters:
    ///   - chain: the base chain whose packets may take the path.
    ///   - path: the chain of the path itself.
    mutating func addFastPath(
        _ chain: String, _ path: String, _ families: [(TableSet, Int)], _ shape: TableShape
    ) {
        // ct mark and BIT == BIT ct direction original ct status confirmed jump short_way
        addRule(chain, shape) {
            $0.hasFlowMark(shape.flowMark)
            $0.isReply(false)
            $0.isConfirmed()
            $0.verdict(.jump(path))
        }

        // ip  saddr . meta l4proto . th dport @recent4 meta mark set … accept
        // ip6 saddr . meta l4proto . th dport @recent6 meta mark set … accept
        for (set, family) in families {
            addRule(path, shape) {
                $0.isFamily(family)
                $0.load(set.fields)
                $0.lookup(set.rawValue)
                if shape.mark != 0 { $0.mark(shape.mark) }
                $0.verdict(.accept)
            }
        }
    }

    /// Added before the flow gets the bit: the first packet of a flow neither waits for the limit's lock nor adds
    /// an element.
    mutating func addRecentRules(
        _ chain: String, _ families: [(TableSet, Int)], _ shape: TableShape
    ) {
        // meta nfproto ipv4 ct mark and BIT == BIT limit rate over … add @recent4 { ip  saddr . … timeout 1s }
        // meta nfproto ipv6 ct mark and BIT == BIT limit rate over … add @recent6 { ip6 saddr . … timeout 1s }
        for (set, family) in families {
            addRule(chain, shape) {
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
    /// How much shorter than `keep` a grant may live after a packet that took the short path.
    var renewalPause: Duration { min(.seconds(1), keep / 4) }
}
