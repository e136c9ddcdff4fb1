import Addresses
import Configuration
import Policy

extension Settings.Gateway {
    static let serversMax = 1024

    /// Finds values that are only wrong in combination with others.
    func findContradictions(in root: YAMLNode, _ firewall: Settings.Firewall, _ findings: inout Findings) {
        guard let node = root.value(at: "gateway") else { return }
        let nodes = node.value(at: "servers")?.items ?? []
        let list = node.value(at: "servers")
        if node.isMapping, list?.items?.isEmpty ?? true, list?.isMapping != true {
            findings.warning("gateway: there are no servers", at: node.location, hint: "leave gateway out")
        }
        if servers.count > Self.serversMax {
            findings.error("servers: more than \(Self.serversMax)", at: node.location)
        }
        if interceptedAddresses.count > ServerID.addressesMax {
            findings.error("servers: more than \(ServerID.addressesMax) addresses", at: node.location)
        }
        findRepeatedNames(nodes, &findings)
        findSharedAddresses(nodes, &findings)
        for (server, node) in zip(servers, nodes) { server.findContradictions(in: node, firewall, &findings) }
        findSharedBits(in: node, firewall, &findings)
        if !servers.isEmpty { findMissingChains(in: root, firewall, &findings) }
    }

    /// The chains of a gateway intercept the calls to its servers, and drop what has no grant.
    private func findMissingChains(in root: YAMLNode, _ firewall: Settings.Firewall, _ findings: inout Findings) {
        guard firewall.management == .sets else { return }
        findings.error(
            "manage: with \"sets\" rpcwarden makes no chains, so no call to a server of \"gateway\" is intercepted",
            at: root.value(at: "firewall", "manage")?.location ?? root.location,
            hint: "write \"manage: guard\", and let your own ruleset accept packets with firewall.mark")
    }

    private func findRepeatedNames(_ nodes: [YAMLNode], _ findings: inout Findings) {
        var places: [String: Location] = [:]
        for (server, node) in zip(servers, nodes) where !server.name.isEmpty {
            let place = node.value(at: "name")?.location ?? node.location
            if let first = places[server.name] {
                findings.error(
                    "two servers are called \(quoted(server.name))", at: place, hint: "the first is at \(first)")
            }
            places[server.name] = places[server.name] ?? place
        }
    }

    /// An address says which server was asked.
    private func findSharedAddresses(_ nodes: [YAMLNode], _ findings: inout Findings) {
        var owners: [IPAddress: Int] = [:]
        for (index, node) in nodes.prefix(servers.count).enumerated() {
            for (key, addresses) in [("address", servers[index].addresses), ("also-known-as", servers[index].aliases)] {
                for address in addresses {
                    guard let first = owners.updateValue(index, forKey: address) else { continue }
                    let place = node.value(at: key)?.location(of: address, .serverAddress) ?? node.location
                    findings.error(
                        first == index
                            ? "\(key): \(address) is listed twice"
                            : "\(key): \(address) is an address of \(quoted(servers[first].name)) too", at: place,
                        hint: "each address belongs to one server")
                }
            }
        }
    }

    /// Calls to an address of this host are for its own portmapper. A public address that is translated to a server
    /// may be this host's, so `also-known-as` is not examined.
    func findOwnAddresses(_ own: Set<IPAddress>, in root: YAMLNode, _ findings: inout Findings) {
        for (server, node) in zip(servers, root.value(at: "gateway", "servers")?.items ?? []) {
            for address in server.addresses where own.contains(address) {
                findings.error(
                    "address: \(address) is an address of this host",
                    at: node.value(at: "address")?.location(of: address, .serverAddress) ?? node.location,
                    hint: "name the server's own addresses, and write rules without \"at\" for this host")
            }
            if let endpoint = server.rpcbind.endpoint, own.contains(endpoint.address), !endpoint.address.isLoopback {
                findings.error(
                    "address: \(endpoint) is not an address of another host",
                    at: node.value(at: "rpcbind", "address")?.location ?? node.location,
                    hint: "name the address of the server's portmapper")
            }
        }
    }

    private func findSharedBits(in node: YAMLNode, _ firewall: Settings.Firewall, _ findings: inout Findings) {
        guard marks.count == 2 else { return }
        let place = node.value(at: "marks")?.location ?? node.location
        let pairs = [
            ("its two marks", marks[0] & marks[1]),
            ("marks and firewall.mark", (marks[0] | marks[1]) & firewall.mark),
        ]
        for (what, shared) in pairs where shared != 0 {
            findings.error(
                "gateway: \(what) share 0x\(String(shared, radix: 16))", at: place, hint: "give each a bit of its own")
        }
    }
}

extension Settings.Server {
    fileprivate func findContradictions(
        in node: YAMLNode, _ firewall: Settings.Firewall, _ findings: inout Findings
    ) {
        if guarded == .registered, !pass.isEmpty {
            findings.warning(
                "pass: has no effect with \"guard: registered\"", at: node.value(at: "pass")?.location ?? node.location,
                hint: "write \"guard: all\", or leave pass out")
        }
        if let range = pass.first(where: { $0.ports.contains(111) }) {
            findings.error(
                "pass: \(range) contains port 111, which is always closed",
                at: node.value(at: "pass")?.location(of: range, .portRange) ?? node.location,
                hint: "leave 111 out of the range")
        }
        if let endpoint = rpcbind.endpoint, endpoint.address.isLoopback || endpoint.address.isUnspecified {
            findings.error(
                "address: \(endpoint) is not an address of another host",
                at: node.value(at: "rpcbind", "address")?.location ?? node.location,
                hint: "name the address of the server's portmapper")
        }
        if let endpoint = rpcbind.endpoint, endpoint.address.isLinkLocal {
            findings.error(
                "address: \(endpoint) is a link-local address, which means nothing without an interface",
                at: node.value(at: "rpcbind", "address")?.location ?? node.location,
                hint: "name another address of the server's portmapper")
        }
        for range in close {
            // Port 111 of a server is closed in any case.
            guard let port = firewall.never.sorted().first(where: { $0 != 111 && range.ports.contains($0) }) else {
                continue
            }
            findings.error(
                "close: \(range) contains port \(port), and \"never\" excludes it from the guard",
                at: node.value(at: "close")?.location(of: range, .portRange) ?? node.location,
                hint: "leave \(port) out of the range")
        }
        let isIPv4 = rpcbind.endpoint?.address.isIPv4 ?? addresses.first?.isIPv4
        if let source = rpcbind.source, let isIPv4, source.isIPv4 != isIPv4 {
            findings.error(
                "source: \(source) can't reach an \(isIPv4 ? "IPv4" : "IPv6") address",
                at: node.value(at: "rpcbind", "source")?.location ?? node.location,
                hint: "name an address of the same family as rpcbind.address")
        }
    }
}
