import Addresses
import Firewall

/// Findings about the routes by which a gateway gets calls to the servers.
extension Examination {
    func routing(_ expected: GatewayExpectations, _ seen: GatewayFacts) -> [Finding] {
        guard let listing = seen.routing else { return [] }
        return missingRouting(listing, expected) + foreignRules(listing, expected)
            + strictFilter(listing, expected, seen)
    }

    private func missingRouting(_ listing: RoutingListing, _ expected: GatewayExpectations) -> [Finding] {
        let missing = listing.missing(from: expected.plan)
        // rpcwarden makes them at its start.
        guard !missing.isEmpty, !expected.managesRouting || isWardenActive else { return [] }
        let shown = missing.prefix(Self.partsMax).map(\.description).joined(separator: "; ")
        let rest = missing.count > Self.partsMax ? "; and \(missing.count - Self.partsMax) more" : ""
        return [
            Finding(
                "routing-missing", .high, what: "rules or routes are missing: \(shown)\(rest)",
                why: """
                    Intercepted calls reach rpcwarden by these alone. Without them a call to a server's portmapper gets no \
                    answer.
                    """,
                mend: expected.managesRouting
                    ? ["# rpcwarden makes them; its log says why it could not:", "systemctl restart rpcwarden.service"]
                    : missing.map(Self.command) + ["# and have them made at boot; or let rpcwarden: routing: manage"])
        ]
    }

    /// A large site has a thousand servers.
    private static let partsMax = 6

    private static func command(_ part: RoutingPart) -> String {
        switch part {
        case .rule(let rule):
            let bits = "0x" + String(rule.mark, radix: 16)
            return "\(ip(rule.family)) rule add pref \(rule.preference) fwmark \(bits)/\(bits) lookup \(rule.table) "
                + "protocol kernel"
        case .entry(let entry):
            let place = entry.destination.map { "\($0)" } ?? "default"
            let device = entry.kind == .local ? " dev lo" : ""
            return "\(ip(entry.family)) route add \(entry.kind.rawValue) \(place)\(device) table \(entry.table) "
                + "protocol kernel"
        case .other(let text): return "# \(text)"
        }
    }

    private static func ip(_ family: RoutingFamily) -> String { family == .ipv4 ? "ip" : "ip -6" }

    private func foreignRules(_ listing: RoutingListing, _ expected: GatewayExpectations) -> [Finding] {
        let rules = listing.foreignRules(expected.plan, mark: facts.expected.mark)
        guard !rules.isEmpty else { return [] }
        return [
            Finding(
                "routing-shared", .medium,
                what:
                    "other rules use the gateway's tables or marks: \(rules.prefix(Self.partsMax).joined(separator: "; "))",
                why: """
                    Such a rule can send intercepted calls elsewhere, or hand packets that are for other hosts to this \
                    host. The gateway's tables and marks must be its own.
                    """,
                mend: [
                    "# remove the rule, or choose tables and marks that no other program uses, in",
                    "# /etc/rpcwarden/rpcwarden.yaml: gateway: {tables: […, …], marks: […, …]}",
                    "systemctl restart rpcwarden.service",
                ])
        ]
    }

    /// The kernel looks up the source of a marked packet with that mark, too. rpcwarden's own tables hold only the
    /// servers, whom no client has for its source.
    private func strictFilter(
        _ listing: RoutingListing, _ expected: GatewayExpectations, _ seen: GatewayFacts
    ) -> [Finding] {
        guard !expected.managesRouting, !seen.strictInterfaces.isEmpty, listing.hasLocalDefault(expected.plan) else {
            return []
        }
        let table = expected.plan.toServers.table
        return [
            Finding(
                "strict-rp-filter", .high,
                what: """
                    table \(table) has a local default route, and the source of packets is validated with their mark at \
                    \(seen.strictInterfaces.joined(separator: ", "))
                    """,
                why: """
                    With rp_filter=1 and src_valid_mark=1, a default route makes each client's address one of this \
                    host's, and the kernel drops the client's call.
                    """,
                mend: expected.addresses.map {
                    "\(Self.ip(RoutingFamily($0))) route add local \($0) dev lo table \(table) protocol kernel"
                } + ["ip route del local default dev lo table \(table)"])
        ]
    }
}
