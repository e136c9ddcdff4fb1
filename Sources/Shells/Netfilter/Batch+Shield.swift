import CNetfilter
import Firewall

/// While the shield is up, strangers' packets are dropped before conntrack, which saves most of their cost.
///
/// A base chain at this hook costs time for every packet, so it exists only while the shield is up. Packets to a
/// broadcast address or to an address of a VRF pass it by mistake; the rules of the input hook drop them.
extension Batch {
    private static let chain = "shield"

    // chain shield { type filter hook prerouting priority raw; policy accept; … }
    mutating func addShieldChain() {
        addChain(Self.chain, tableName, at: NF_INET_PRE_ROUTING, priority: NF_IP_PRI_RAW.rawValue)
        flushRules(Self.chain)
        // th dport 111 meta l4proto @shielded iif != "lo" goto shielded_portmapper
        addRule(Self.chain, table: tableName) {
            $0.load([.port])
            $0.compare(NFT_CMP_EQ, UInt16(111).bigEndian)
            $0.load(TableSet.shielded.fields)
            $0.lookup(TableSet.shielded.rawValue)
            $0.isLoopback(false)
            $0.verdict(.goTo("shielded_portmapper"))
        }
    }

    /// Adds the chain before deleting it: deleting a chain that doesn't exist would fail the batch.
    mutating func deleteShieldChain() {
        addChain(Self.chain, tableName, at: NF_INET_PRE_ROUTING, priority: NF_IP_PRI_RAW.rawValue)
        flushRules(Self.chain)
        message(NFT_MSG_DELCHAIN, flags: 0) { $0.put(NFTA_CHAIN_NAME.rawValue, Self.chain) }
    }

    // flush chain inet rpcwarden shield
    private mutating func flushRules(_ chain: String) {
        message(NFT_MSG_DELRULE, flags: 0) { $0.put(NFTA_RULE_CHAIN.rawValue, chain) }
    }

    /// While strangers are kept from this host's portmapper, they are kept from those of servers, too. Calls to these
    /// are intercepted before conntrack in any case, so the rules stay.
    mutating func addShieldAtRules(_ shape: TableShape) {
        // meta l4proto @shielded jump shielded_portmapper_at
        addRule("portmapper_of_server", shape) {
            $0.load(TableSet.shielded.fields)
            $0.lookup(TableSet.shielded.rawValue)
            $0.verdict(.jump("shielded_portmapper_at"))
        }

        // ip  saddr . meta l4proto . th dport @standing4 return
        // ip6 saddr . meta l4proto . th dport @standing6 return
        for set in TableSet.standing { addRule("shielded_portmapper_at", shape) { $0.admit(set, .return) } }

        // goto strangers
        addRule("shielded_portmapper_at", shape) { $0.verdict(.goTo("strangers")) }
    }

    /// The rules shared by the shield's chain and the input hook's chain `portmapper`.
    mutating func addShieldRules(_ shape: TableShape) {
        // ip  saddr . meta l4proto . th dport @standing4 accept
        // ip6 saddr . meta l4proto . th dport @standing6 accept
        for set in TableSet.standing {
            addRule("shielded_portmapper", shape) { $0.admit(set, .accept) }
        }

        // fib daddr type local goto strangers
        addRule("shielded_portmapper", shape) {
            $0.isToThisHost()
            $0.verdict(.goTo("strangers"))
        }
    }
}
