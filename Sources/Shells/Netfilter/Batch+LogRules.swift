import CNetfilter
import Firewall

/// The rules that report packets dropped by the guard to the daemon; none of them decides about a packet.
extension Batch {
    /// - Parameter sets: the sets of expired grants that the chain's packets may revive.
    mutating func addLogRules(_ chain: String, _ sets: [(TableSet, Int)], _ shape: TableShape) {
        guard shape.logGroup != 0 else { return }

        // ip  saddr . meta l4proto . th dport @remembered4 limit rate 200/second … log prefix "…" group …
        // ip6 saddr . meta l4proto . th dport @remembered6 limit rate 200/second … log prefix "…" group …
        for (set, family) in sets {
            addRule(chain, shape) {
                $0.isFamily(family)
                $0.load(set.fields)
                // When the element's own limit doesn't match, the rule ends here, too.
                $0.lookup(set.rawValue)
                $0.limit(.remembered)
                $0.log(.remembered, group: shape.logGroup)
            }
        }

        // ip  saddr . meta l4proto . th dport != @remembered4 ct state new limit rate 10/second … log prefix "…" group …
        // ip6 saddr . meta l4proto . th dport != @remembered6 ct state new limit rate 10/second … log prefix "…" group …
        for (set, family) in sets {
            addRule(chain, shape) {
                $0.isFamily(family)
                $0.load(set.fields)
                $0.lookup(set.rawValue, isInverted: true)
                $0.isState(UInt32(CNF_CT_STATE_NEW))
                $0.limit(.probes)
                $0.log(.probe, group: shape.logGroup)
            }
        }
    }

    // limit rate 50/second … log prefix "…" group … snaplen …
    mutating func addStrangerLogRule(_ shape: TableShape) {
        guard shape.logGroup != 0 else { return }
        addRule("strangers", shape) {
            $0.limit(.strangers)
            $0.log(.stranger, group: shape.logGroup)
        }
    }
}
