/// Services whose ports change at each start: rpcwarden follows them, other firewalls may not.
extension Examination {
    var unpinnedPorts: [Finding] {
        let registered = Set((facts.registrations ?? []).map(\.program))
        let ports = facts.helperPorts
        let moving = NFSHelper.allCases.filter { registered.contains($0.program) && !ports.isFixed($0) }
        guard !moving.isEmpty else { return [] }
        return [
            Finding(
                "unpinned-ports", .note,
                what: "no file sets a port of \(moving.map(\.name).joined(separator: ", ")): it changes at each start",
                why: """
                    rpcwarden follows the ports. A firewall in front of this host that goes by port numbers can't, nor \
                    can one here that filters without rpcwarden's mark.
                    """,
                mend: [
                    "# only if there is such a firewall:", "rpcwarden setup --pin --dry-run", "rpcwarden setup --pin",
                ])
        ]
    }
}
