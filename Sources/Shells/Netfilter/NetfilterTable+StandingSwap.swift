import CNetfilter
import Firewall
import Glibc

/// Replaces all standing ranges.
///
/// The kernel takes some µs to add a range, but milliseconds to delete one of thousands (measured). So a second
/// set is filled with the new ranges, and the rules are repointed to it. Then the same is done back to the
/// original set, since administrators know the set by its name:
///
///     standing4 ──rules──▶ standing4_next, filled before ──rules──▶ standing4, made anew and filled before
///
/// The transaction that repoints the rules adds no range: in one that does, the rules come into force a moment
/// earlier than the ranges (nf_tables_commit), and clients would be shut out.
extension NetfilterTable {
    /// Whether the transaction replaces ranges in a table with rpcwarden's rules; in a table with only sets, the
    /// rules are the administrator's.
    func exchangesRules(_ transaction: Transaction) -> Bool {
        guard transaction.exchangesStanding else { return false }
        do throws(NetfilterError) {
            return try hasRules(transaction.table)
        } catch {
            // The transaction itself will fail and report the error.
            return false
        }
    }

    /// If it fails, a part of it may have been done.
    func exchange(_ transaction: Transaction) -> CommitFailure? {
        if let failure = strangeServer(transaction) { return failure }
        let ranges = transaction.standingLeft.map { (index: $0.index, element: ElementKey($0.key, gateway)) }
        let table = transaction.table
        return fill(table, ranges) { $0.nextName }
            ?? turn(table, to: { $0.nextName }, emptying: true)
            ?? commitOnce(
                transaction,
                without: Set(transaction.operations.indices.filter { transaction.operations[$0].isOfRanges }))
            ?? fill(table, ranges) { $0.rawValue }
            ?? turn(table, to: { $0.rawValue }, emptying: false)
    }

    /// Fills sets that no rule refers to yet. A failed attempt may have left elements in them.
    private func fill(
        _ table: String, _ ranges: [(index: Int, element: ElementKey)], _ name: (TableSet) -> String
    ) -> CommitFailure? {
        repeating {
            send(of: table) { batch throws(NetfilterError) in
                for (number, set) in TableSet.standing(gateway).enumerated() where name(set) != set.rawValue {
                    batch.add(set, named: name(set), id: UInt32(number + 1), table: table)
                    batch.deleteSet(named: name(set), table: table)
                    batch.add(set, named: name(set), id: UInt32(number + 11), table: table)
                }
                for (index, element) in ranges {
                    batch.operation = index
                    batch.add(element, toSet: name(element.set))
                }
            }
        }
    }

    /// Repoints the rules to these sets, and deletes the other sets or makes them anew.
    private func turn(_ table: String, to name: (TableSet) -> String, emptying: Bool) -> CommitFailure? {
        repeating {
            send(of: table) { batch throws(NetfilterError) in
                for rule in try rules(of: table) { batch.replace(rule, in: table, lookingAt: name(rule.set)) }
                for (number, set) in TableSet.standing(gateway).enumerated() {
                    batch.deleteSet(named: emptying ? set.rawValue : set.nextName, table: table)
                    if emptying { batch.add(set, named: set.rawValue, id: UInt32(number + 1), table: table) }
                }
            }
        }
    }

    private func repeating(_ attempt: () -> [CommitFailure]) -> CommitFailure? {
        Self.repeatingWhileBusy(attempt).first
    }

    /// One of rpcwarden's rules that look up standing ranges.
    fileprivate struct RangeRule {
        var chain: String
        var handle: UInt64
        var set: TableSet
    }

    private func rules(of table: String) throws(NetfilterError) -> [RangeRule] {
        var rules: [RangeRule] = []
        _ = try ask("reading the rules of table inet \(table)", NFT_MSG_GETRULE, NetlinkSocket.dump) {
            $0.put(NFTA_RULE_TABLE.rawValue, table)
        } each: { message in
            var (chain, handle) = ("", UInt64(0))
            var set: TableSet?
            for attribute in message.netfilterAttributes {
                switch attribute.type {
                case NFTA_RULE_CHAIN.rawValue: chain = attribute.payload.text
                case NFTA_RULE_HANDLE.rawValue: handle = attribute.payload.bigEndian(UInt64.self) ?? 0
                case NFTA_RULE_EXPRESSIONS.rawValue: set = rangeSet(attribute.nested)
                default: break
                }
            }
            if let set { rules.append(RangeRule(chain: chain, handle: handle, set: set)) }
        }
        return rules
    }

    /// The set of ranges that a rule looks up, also if the rule refers to its temporary substitute.
    private func rangeSet(_ expressions: Attributes) -> TableSet? {
        for expression in expressions {
            for attribute in expression.nested where attribute.type == NFTA_EXPR_DATA.rawValue {
                for part in attribute.nested where part.type == NFTA_LOOKUP_SET.rawValue {
                    let name = part.payload.text
                    if let set = TableSet.standing(gateway).first(where: { [$0.rawValue, $0.nextName].contains(name) })
                    {
                        return set
                    }
                }
            }
        }
        return nil
    }
}

extension Transaction {
    /// The ranges that an exchange leaves, each with the index of its operation: as if the operations were done in their
    /// order, which is how the ceiling counts them.
    var standingLeft: [(key: StandingKey, index: Int)] {
        var left: [StandingKey: Int] = [:]
        for (index, operation) in operations.enumerated() {
            switch operation {
            case .replaceStanding: left = [:]
            case .addStanding(let key): left[key] = index
            case .removeStanding(let key): left[key] = nil
            default: break
            }
        }
        return left.map { ($0.key, $0.value) }.sorted { $0.index < $1.index }
    }
}

extension Batch {
    // replace rule inet rpcwarden guarded_port handle … ip saddr . meta l4proto . th dport @standing4_next goto admitted
    fileprivate mutating func replace(_ rule: NetfilterTable.RangeRule, in table: String, lookingAt name: String) {
        let expressions = RuleExpressions(table: table, chain: rule.chain, comment: nil)
        nftnl_rule_set_u64(expressions.rule, UInt16(NFTNL_RULE_HANDLE.rawValue), rule.handle)
        expressions.admit(rule.set, named: name, Self.verdict(in: rule.chain))
        let pointer = expressions.rule
        message(NFT_MSG_NEWRULE, flags: NLM_F_REPLACE, table: table) { nftnl_rule_nlmsg_build_payload($0, pointer) }
    }

    /// The verdict of the rules in this chain that look up standing ranges.
    private static func verdict(in chain: String) -> Verdict {
        switch chain {
        case "shielded_portmapper": .accept
        case "shielded_portmapper_at": .return
        case "guarded_port_at": .goTo("admitted_at")
        default: .goTo("admitted")
        }
    }
}
