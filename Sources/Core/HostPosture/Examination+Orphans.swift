import Addresses

/// Services that are no longer registered but still listen: rpcwarden keeps guarding their ports.
extension Examination {
    var orphans: [Finding] {
        guard let registrations = facts.registrations else { return [] }
        let registered = Set(registrations.compactMap(\.service))
        let forgotten = guardedPorts.subtracting(registered).subtracting(facts.expected.guardPorts)
        let sockets = facts.sockets.filter { forgotten.contains($0.service) && $0.isReachable }
        guard !sockets.isEmpty else { return [] }
        let places = Set(sockets.map(\.service)).sorted().map { service -> String in
            let holders = Set(sockets.filter { $0.service == service }.flatMap(\.holders)).sorted()
            return holders.isEmpty ? "\(service)" : "\(service) (\(holders.joined(separator: ", ")))"
        }
        return [
            Finding(
                "orphaned-service", .medium,
                what: "guarded and still listening, but no longer registered: \(places.joined(separator: ", "))",
                why: """
                    rpcbind lost its registrations in a restart, or the service unregistered without closing its socket. \
                    Clients with a grant keep their access. New look-ups find no registration, so new mounts fail.
                    """,
                mend: ["# restart the service, so that it registers again; for NFS:", "systemctl restart nfs-server"])
        ]
    }

    /// The elements of the set `guarded`, as `nft list ruleset` prints them.
    private var guardedPorts: Set<ServicePort> {
        guard let table = facts.ruleset?.part(behind: "table inet \(facts.expected.table) {"),
            let set = table.part(behind: "set guarded {"), let elements = set.part(behind: "elements = {"),
            let end = elements.firstIndex(of: "}"), let next = set.firstIndex(of: "}"), next >= end
        else { return [] }
        let ports = elements[..<end].split(separator: ",").compactMap { element -> ServicePort? in
            let words = element.split { $0 == " " || $0 == "\n" || $0 == "\t" }
            // nft prints numbers if /etc/protocols is missing.
            guard words.count == 3,
                let transport = Transport(name: words[0]) ?? UInt8(words[0]).flatMap(Transport.init(rawValue:)),
                let port = UInt16(words[2])
            else {
                return nil
            }
            return ServicePort(transport, port)
        }
        return Set(ports)
    }
}

extension StringProtocol {
    /// The text behind the first occurrence of `text`; `nil` if there is none.
    fileprivate func part(behind text: String) -> Substring? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(text) { return Substring(self[index(start, offsetBy: text.count)...]) }
            guard let next = self[index(after: start)...].firstIndex(of: text[text.startIndex]) else { return nil }
            start = next
        }
        return nil
    }
}
