import Firewall
import HostPosture

extension HostSurvey {
    /// What a gateway needs of this host; the daemon's own view of the servers is not asked here.
    func gateway(_ expected: GatewayExpectations) -> GatewayFacts {
        var facts = GatewayFacts()
        facts.forwards = forwards
        if isOn("bridge/bridge-nf-call-iptables") == true { facts.bridgesCallHooks.insert(.ipv4) }
        if isOn("bridge/bridge-nf-call-ip6tables") == true { facts.bridgesCallHooks.insert(.ipv6) }
        facts.strictInterfaces = strictInterfaces
        facts.routing = routing(expected.plan.tables)
        facts.isTransparent = isTransparent
        return facts
    }

    var forwards: [RoutingFamily: Bool] {
        var forwards: [RoutingFamily: Bool] = [:]
        forwards[.ipv4] = isOn("ipv4/ip_forward")
        forwards[.ipv6] = isOn("ipv6/conf/all/forwarding")
        return forwards
    }

    /// `nil`: the kernel has no such switch.
    private func isOn(_ key: String) -> Bool? { number(key).map { $0 > 0 } }

    private func number(_ key: String) -> Int? {
        root.text("/proc/sys/net/\(key)").flatMap { Int($0.prefix { $0.isNumber }) }
    }

    /// Of `all` and the interface, the larger rp_filter counts, and either src_valid_mark (ip-sysctl.rst).
    private var strictInterfaces: [String] {
        func value(_ name: String, _ key: String) -> Int {
            max(number("ipv4/conf/all/\(key)") ?? 0, number("ipv4/conf/\(name)/\(key)") ?? 0)
        }
        return root.names("/proc/sys/net/ipv4/conf").filter { name in
            !["all", "default", "lo"].contains(name) && value(name, "rp_filter") == 1
                && value(name, "src_valid_mark") > 0
        }
    }

    private func routing(_ tables: [UInt32]) -> RoutingListing? {
        var listing = RoutingListing()
        for (family, option) in [(RoutingFamily.ipv4, "-4"), (.ipv6, "-6")] {
            let rules = command("ip", "-N", "-d", option, "rule", "show")
            // A kernel without IPv6 has no such rules.
            guard rules.isSuccess || family == .ipv6 else { return nil }
            listing.add(rules: rules.output, family)
            for table in tables {
                // It fails if the table doesn't exist yet.
                let routes = command("ip", "-d", option, "route", "show", "table", "\(table)")
                listing.add(routes: routes.output, family, table: table)
            }
        }
        return listing
    }

    private var isTransparent: Bool? {
        guard hasUnit("rpcwarden.socket") else { return nil }
        let shown = command("systemctl", "show", "rpcwarden.socket", "-p", "Transparent", "--value")
        switch shown.output.split(separator: "\n").first {
        case "yes": return true
        case "no": return false
        default: return nil
        }
    }
}
