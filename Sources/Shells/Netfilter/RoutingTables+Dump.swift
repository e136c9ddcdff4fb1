import Addresses
import CNetfilter
import Firewall
import Glibc

/// What the kernel has, compared with a plan.
struct PresentRouting {
    /// A rule or route with our marks or in our tables that isn't of the plan.
    struct Excess {
        let part: RoutingPart
        /// The message that deletes it, and the kernel's description of it.
        let deletion: UInt16
        let description: [UInt8]
    }

    /// Held in memory at once; when they are gone, the next round finds more.
    private static let excessMax = 4096

    /// Not found so far.
    private(set) var missing: [RoutingPart]
    private(set) var excess: [Excess] = []
    private var wanted: Set<RoutingPart>

    init(_ plan: RoutingPlan) {
        missing = plan.parts
        wanted = Set(missing)
    }

    mutating func found(_ part: RoutingPart, deletion: Int32, _ description: UnsafeRawBufferPointer) {
        guard wanted.remove(part) == nil, excess.count < Self.excessMax else { return }
        excess.append(Excess(part: part, deletion: UInt16(deletion), description: Array(description)))
    }

    /// A kernel without the family forwards none of its packets.
    mutating func leaveOut(_ family: RoutingFamily) {
        wanted = wanted.filter { $0.family != family }
    }

    mutating func finish() {
        missing = missing.filter { wanted.contains($0) }
    }
}

extension RoutingPart {
    fileprivate var family: RoutingFamily? {
        switch self {
        case .rule(let rule): rule.family
        case .entry(let entry): entry.family
        case .other: nil
        }
    }
}

// A rule or route that is made or deleted during a dump may be missed, and the kernel may say that a dump is
// inconsistent. Neither does harm: to add what is there, or to remove what is gone, is no error, and each change of
// ours is announced.
extension RoutingTables {
    func present(_ plan: RoutingPlan) throws(NetfilterError) -> PresentRouting {
        var present = PresentRouting(plan)
        for family in RoutingFamily.allCases {
            guard try readRules(family, plan, &present) else {
                present.leaveOut(family)
                continue
            }
            for table in plan.tables { try readRoutes(family, table, &present) }
        }
        present.finish()
        return present
    }

    /// Returns `false` if the kernel doesn't have the family.
    private func readRules(
        _ family: RoutingFamily, _ plan: RoutingPlan, _ present: inout PresentRouting
    ) throws(NetfilterError) -> Bool {
        var request = MessageBuffer()
        let sequence = socket.nextSequence()
        request.begin(type: UInt16(CNF_RTM_GETRULE), flags: NetlinkSocket.dump, sequence: sequence)
        var header = fib_rule_hdr()
        header.family = numbers.number(family)
        request.append(header)
        request.end()
        do throws(NetfilterError) {
            _ = try socket.ask("reading the \(family) rules", request, sequence: sequence) { message in
                guard message.type == CNF_RTM_NEWRULE, let rule = RuleMessage(message.payload, numbers),
                    rule.family == family, plan.owns(mark: rule.mark, mask: rule.mask, table: rule.table)
                else { return }
                present.found(rule.part, deletion: CNF_RTM_DELRULE, message.payload)
            }
        } catch {
            guard family == .ipv6, case .failed(_, EAFNOSUPPORT, _) = error else { throw error }
            return false
        }
        return true
    }

    private func readRoutes(
        _ family: RoutingFamily, _ table: UInt32, _ present: inout PresentRouting
    ) throws(NetfilterError) {
        var request = MessageBuffer()
        let sequence = socket.nextSequence()
        request.begin(type: UInt16(CNF_RTM_GETROUTE), flags: NetlinkSocket.dump, sequence: sequence)
        var header = rtmsg()
        header.rtm_family = numbers.number(family)
        request.append(header)
        request.put(RTA_TABLE.rawValue) { $0.append(table) }
        request.end()
        let doing = "reading the \(family) routes of table \(table)"
        do throws(NetfilterError) {
            _ = try socket.ask(doing, request, sequence: sequence) { message in
                guard message.type == CNF_RTM_NEWROUTE, let route = RouteMessage(message.payload, numbers),
                    route.family == family, route.table == table, !route.isCached
                else { return }
                present.found(route.part, deletion: CNF_RTM_DELROUTE, message.payload)
            }
        } catch {
            // The kernel makes a table when it gets its first route.
            guard case .failed(_, ENOENT, _) = error else { throw error }
        }
    }
}
