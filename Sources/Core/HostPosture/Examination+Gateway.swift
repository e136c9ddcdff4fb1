import Addresses
import Firewall

/// Findings about a host with servers behind it (`gateway` in rpcwarden.yaml).
extension Examination {
    var isGateway: Bool { facts.expected.gateway != nil }

    var gateway: [Finding] {
        guard let expected = facts.expected.gateway, let seen = facts.gateway else { return [] }
        return notRunning + missingRpcbind(expected) + forwarding(expected, seen) + opaqueSockets(seen)
            + routing(expected, seen) + bridges(expected, seen) + servers(expected, seen) + rulesBeside(expected)
    }

    private var notRunning: [Finding] {
        guard !isWardenActive else { return [] }
        return [
            Finding(
                "gateway-not-running", .high, what: "rpcwarden doesn't run, and there are servers behind this host",
                why: """
                    At most the guard that an earlier run left in the kernel protects the servers' ports. Calls to their \
                    portmappers get no answer.
                    """,
                mend: facts.serviceManager == .systemd
                    ? ["rpcwarden check", "rpcwarden setup --gateway"] : ["rpcwarden check", "rpcwarden serve"])
        ]
    }

    /// A gateway needs a local rpcbind only for rules without `at`.
    private func missingRpcbind(_ expected: GatewayExpectations) -> [Finding] {
        guard expected.servesThisHost, !isInUse, facts.registrations == nil else { return [] }
        return [
            Finding(
                "rpcbind-missing", .low, what: "rules without `at` are about this host, but no rpcbind runs here",
                why: "Clients' questions about this host's own services are denied. The servers' are not concerned.",
                mend: ["# if the rules are meant for servers: add `at` to them; otherwise install rpcbind, then:"]
                    + ["rpcwarden setup"])
        ]
    }

    private func forwarding(_ expected: GatewayExpectations, _ seen: GatewayFacts) -> [Finding] {
        expected.families.filter { seen.forwards[$0] == false }.map { family in
            let key = family == .ipv4 ? "net.ipv4.ip_forward" : "net.ipv6.conf.all.forwarding"
            return Finding(
                "forwarding-off", .high, what: "this host forwards no \(family) packets: \(key) is 0",
                why: """
                    rpcwarden answers for the servers and issues grants, but no packet of a client reaches a server, so \
                    mounts hang.
                    """,
                mend: ["sysctl -w \(key)=1", "echo '\(key) = 1' >/etc/sysctl.d/60-rpcwarden-gateway.conf"])
        }
    }

    private func opaqueSockets(_ seen: GatewayFacts) -> [Finding] {
        guard seen.isTransparent == false, facts.unit("rpcwarden.socket").isActive else { return [] }
        return [
            Finding(
                "not-transparent", .low, what: "rpcwarden.socket has no Transparent=yes",
                why: """
                    rpcwarden has to make these sockets transparent when it starts, for which its unit must have \
                    CAP_NET_ADMIN. Until then calls to the servers' portmappers are dropped.
                    """,
                mend: ["rpcwarden setup --gateway --dry-run", "rpcwarden setup --gateway"])
        ]
    }

    private func bridges(_ expected: GatewayExpectations, _ seen: GatewayFacts) -> [Finding] {
        let families = expected.families.filter(seen.bridgesCallHooks.contains)
        guard !families.isEmpty else { return [] }
        let keys = families.map { "net.bridge.bridge-nf-call-\($0 == .ipv4 ? "iptables" : "ip6tables")" }
        return [
            Finding(
                "bridged-packets", .low,
                what: "bridged packets pass the firewall's hooks: \(keys.map { "\($0) is 1" }.joined(separator: ", "))",
                why: """
                    A call to a server's port 111 that is bridged, not routed, can't be intercepted. The closed port 111 \
                    drops it, so a client on a server's own bridge gets no answer.
                    """,
                mend: [
                    "# if clients and servers share a bridge of this host, and no other software needs the hooks there:"
                ]
                    + keys.map { "sysctl -w \($0)=0" })
        ]
    }

    // MARK: What the daemon says

    private func servers(_ expected: GatewayExpectations, _ seen: GatewayFacts) -> [Finding] {
        seen.servers.compactMap { server in
            let addresses = expected.servers.first { $0.name == server.name }?.addresses ?? []
            let since = server.since.map { " since \($0)" } ?? ""
            return switch server.rpcbind {
            case "never":
                Finding(
                    "server-never-read", .high,
                    what: "the portmapper of server \(server.name) has not answered yet\(since)",
                    why: "Its registrations are unknown. Only its port 111 and the ports of `close:` are guarded.",
                    mend: Self.questions(addresses))
            case "down":
                Finding(
                    "server-unreachable", .medium,
                    what: "the portmapper of server \(server.name) doesn't answer\(since)",
                    why: "Look-ups there are denied. The guard and the grants stay as they are.",
                    mend: Self.questions(addresses))
            case "stale":
                Finding(
                    "server-stale", .medium,
                    what: "the portmapper of server \(server.name) has not answered since rpcwarden's start",
                    why: "Its ports are guarded by the registrations of the last run. Look-ups there are denied.",
                    mend: Self.questions(addresses))
            default: nil
            }
        }
    }

    private static func questions(_ addresses: [IPAddress]) -> [String] {
        ["# is it up, and does it admit this host at tcp/111 (a firewall, or hosts.allow there)? From here:"]
            + addresses.prefix(1).map { "rpcinfo -p \($0)" }
    }
}
