import CNetfilter
import Firewall
import Glibc

extension NetfilterTable {
    /// The counts of packets dropped by rpcwarden's rules since the table was made.
    ///
    /// - Throws: ``NetfilterError/failed(doing:errno:detail:)``, with ENOENT if there is no such table.
    public func drops(of table: String) throws(NetfilterError) -> DropCounts {
        var counts = DropCounts()
        _ = try ask("reading the rules of table inet \(table)", NFT_MSG_GETRULE, NetlinkSocket.dump) {
            $0.put(NFTA_RULE_TABLE.rawValue, table)
        } each: { message in
            var chain = ""
            var (packets, looksUp) = (UInt64(0), false)
            for attribute in message.netfilterAttributes {
                switch attribute.type {
                case NFTA_RULE_CHAIN.rawValue: chain = attribute.payload.text
                case NFTA_RULE_EXPRESSIONS.rawValue:
                    packets = Self.packets(of: attribute.nested)
                    looksUp = attribute.nested.contains { Self.isLookup($0.nested) }
                default: break
                }
            }
            switch chain {
            case "guarded_port", "guarded_port_at": counts.guarded += packets
            case "portmapper": counts.quarantined += packets
            // The chain's last rule counts calls for which nobody listens.
            case "portmapper_of_server" where looksUp: counts.quarantined += packets
            case "strangers": counts.strangers += packets
            default: break
            }
        }
        return counts
    }

    private static func isLookup(_ expression: Attributes) -> Bool {
        expression.contains { $0.type == NFTA_EXPR_NAME.rawValue && $0.payload.text == "lookup" }
    }

    /// The packet count of the rule's counter.
    private static func packets(of expressions: Attributes) -> UInt64 {
        var packets: UInt64 = 0
        for expression in expressions {
            var isCounter = false
            for attribute in expression.nested {
                switch attribute.type {
                case NFTA_EXPR_NAME.rawValue: isCounter = attribute.payload.text == "counter"
                case NFTA_EXPR_DATA.rawValue where isCounter:
                    for part in attribute.nested where part.type == NFTA_COUNTER_PACKETS.rawValue {
                        packets += part.payload.bigEndian(UInt64.self) ?? 0
                    }
                default: break
                }
            }
        }
        return packets
    }
}
