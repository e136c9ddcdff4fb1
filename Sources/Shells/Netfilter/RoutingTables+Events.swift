import CNetfilter
import Firewall
import Glibc

extension RoutingTables {
    /// Upper bound of receives per call of ``readEvents(of:)``; the next call reads on.
    private static let receivesMax = 65_536
    /// LOOPBACK_IFINDEX of net/flow.h: `lo`, in every network namespace.
    static let loopback: UInt32 = 1

    /// Turns announcements on or off. The kernel announces each change of any rule and route of the host.
    public func follow(_ isNeeded: Bool) throws(NetfilterError) {
        guard isNeeded != isFollowing else { return }
        try subscribe(isNeeded ? NETLINK_ADD_MEMBERSHIP : NETLINK_DROP_MEMBERSHIP)
        isFollowing = isNeeded
    }

    private func subscribe(_ option: Int32) throws(NetfilterError) {
        // When lo goes down, the kernel deletes our IPv6 routes and tells of it; it keeps those of IPv4.
        let groups = [
            CNF_RTNLGRP_IPV4_RULE, CNF_RTNLGRP_IPV6_RULE, CNF_RTNLGRP_IPV4_ROUTE, CNF_RTNLGRP_IPV6_ROUTE,
        ]
        for group in groups {
            let number = watch.setOption(SOL_NETLINK, option, group)
            guard number == 0 else {
                throw .failed(
                    doing: "subscribing to changes of rules and routes", errno: number, detail: errorText(number))
            }
        }
    }

    /// Whether another process, or the kernel, may have changed since the last call what has the plan's marks and
    /// tables. Never blocks.
    public func readEvents(of plan: RoutingPlan) -> Bool {
        var isChanged = false
        for _ in 0..<Self.receivesMax {
            switch watch.receive(waits: false) {
            case .bytes(let bytes):
                for message in NetlinkMessages(bytes) where !isChanged { isChanged = concerns(plan, message) }
            // An overrun: what was lost may have been ours. What is left is read all the same.
            case .failed(ENOBUFS): isChanged = true
            case .failed: return true
            case .nothing: return isChanged
            }
        }
        return isChanged
    }

    private func concerns(_ plan: RoutingPlan, _ message: NetlinkMessage) -> Bool {
        // The port of the socket whose request it was.
        guard message.portID != socket.portID else { return false }
        switch message.type {
        case CNF_RTM_NEWRULE, CNF_RTM_DELRULE:
            return RuleMessage(message.payload, numbers).map {
                plan.owns(mark: $0.mark, mask: $0.mask, table: $0.table)
            } ?? false
        case CNF_RTM_NEWROUTE, CNF_RTM_DELROUTE:
            return RouteMessage(message.payload, numbers).map {
                plan.tables.contains($0.table) && !$0.isCached
            } ?? false
        default: return false
        }
    }
}
