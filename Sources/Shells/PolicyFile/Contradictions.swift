import Configuration
import Policy

extension Settings {
    /// Finds values that are only wrong in combination; each is reported at the key that more likely needs the change.
    func findContradictions(in root: YAMLNode, _ findings: inout Findings) {
        findListenClashes(in: root, &findings)
        findPortClashes(in: root, &findings)
        findUnguardedWishes(in: root, &findings)
        findSharedBits(in: root, &findings)
        findAuditMismatch(in: root, &findings)
        findShares(in: root, &findings)
        findShareOfCopies(in: root, &findings)
        gateway?.findContradictions(in: root, firewall, &findings)
    }

    private func findListenClashes(in root: YAMLNode, _ findings: inout Findings) {
        for (index, endpoint) in listen.enumerated() {
            guard let clash = listen[..<index].first(where: { $0.clashes(with: endpoint) }) else { continue }
            findings.error(
                "listen: \(endpoint) and \(clash) can't both be bound",
                at: root.value(at: "listen")?.location(of: endpoint, .endpoint) ?? root.location,
                hint: "leave one of them out")
        }
    }

    private func findPortClashes(in root: YAMLNode, _ findings: inout Findings) {
        guard let metrics, let place = root.value(at: "metrics")?.location else { return }
        if let clash = listen.first(where: { $0.clashes(with: metrics) }) {
            findings.error("metrics: \(metrics) is taken by \(clash)", at: place, hint: "choose another port")
        }
    }

    private func findUnguardedWishes(in root: YAMLNode, _ findings: inout Findings) {
        let list = root.value(at: "firewall", "guard-ports")
        let never = firewall.never.sorted()
        for range in firewall.guardPorts {
            guard let port = never.first(where: range.ports.contains) else { continue }
            findings.error(
                "guard-ports: \(range) contains port \(port), and \"never\" excludes it from the guard",
                at: list?.location(of: range, .portRange) ?? root.location, hint: "remove \(port) from one of the two")
        }
    }

    /// With one mark for both, an admitted flow would count as one that this host began.
    private func findSharedBits(in root: YAMLNode, _ findings: inout Findings) {
        let shared = firewall.flowMark & firewall.ownFlowMark
        guard shared != 0 else { return }
        let node = root.value(at: "firewall", "own-ct-mark") ?? root.value(at: "firewall", "ct-mark")
        findings.error(
            "firewall: ct-mark and own-ct-mark share 0x\(String(shared, radix: 16))",
            at: node?.location ?? root.location,
            hint: "give each a bit of its own")
    }

    private func findAuditMismatch(in root: YAMLNode, _ findings: inout Findings) {
        guard let section = root.value(at: "audit") else { return }
        switch audit.destination {
        case .file where audit.file == nil:
            let place = root.value(at: "audit", "to")?.location ?? section.location
            if root.value(at: "audit", "file")?.isNull ?? true {
                findings.error(
                    "audit: \"to: file\" needs a file", at: place,
                    hint: "add \"file: /var/log/rpcwarden/audit.jsonl\"")
            }
        case .journal where audit.file != nil, .stderr where audit.file != nil:
            findings.warning(
                "audit: the file is not written while \"to\" is \(audit.destination.rawValue)",
                at: root.value(at: "audit", "file")?.location ?? section.location, hint: "write \"to: file\"")
        case .file, .journal, .stderr: break
        }
    }

    /// A share of one client above the total lets that client take everything.
    private func findShares(in root: YAMLNode, _ findings: inout Findings) {
        let shares = [
            ("grants-per-client", limits.grantsPerClient, "grants", limits.grants),
            ("tcp-connections-per-client", limits.tcpConnectionsPerClient, "tcp-connections", limits.tcpConnections),
        ]
        for (share, shareCount, whole, wholeCount) in shares where shareCount > wholeCount {
            let node = root.value(at: "limits", share) ?? root.value(at: "limits", whole)
            findings.warning(
                "limits: \(share) (\(shareCount)) is more than \(whole) (\(wholeCount)): one client can take all",
                at: node?.location ?? root.location)
        }
    }

    /// Copies take no more, whatever is written.
    private func findShareOfCopies(in root: YAMLNode, _ findings: inout Findings) {
        guard let pair = fleet?.pair, let node = root.value(at: "fleet", "pair", "grants"), !node.isNull,
            pair.grants > limits.copies
        else { return }
        findings.warning(
            "pair: grants (\(pair.grants)) is more than half of limits.grants (\(limits.grants)): grants of other nodes take"
                + " \(limits.copies) at most", at: node.location, hint: "raise limits.grants")
    }
}

extension Settings.Endpoint {
    /// Whether both bind the same port, at the same address or at every address.
    fileprivate func clashes(with other: Self) -> Bool {
        guard port == other.port else { return false }
        if address == other.address { return true }
        return address.isIPv4 == other.address.isIPv4 && (address.isUnspecified || other.address.isUnspecified)
    }
}

extension YAMLNode {
    /// The location of a list's item with this value.
    func location<Value: Equatable>(of value: Value, _ syntax: Syntax<Value>) -> Location? {
        items?.first { item in
            guard case .scalar(let scalar) = item.content else { return false }
            do throws(Mistake) {
                return try syntax.parse(scalar.text) == value
            } catch {
                return false
            }
        }?.location
    }
}
