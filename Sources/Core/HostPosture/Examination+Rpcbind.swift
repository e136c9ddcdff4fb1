import Portmapper

/// Findings about rpcbind's options, its registrations and its callers.
extension Examination {
    var options: [Finding] {
        guard isInUse, let words = facts.rpcbindOptions else { return [] }
        var found: [Finding] = []
        // Without a network, rpcbind can't call any host.
        if RpcbindOptions.has("r", in: words), facts.rpcbindNetwork != .empty, !isWithoutNetworkByUnits {
            found.append(
                Finding(
                    "remote-calls", .high, what: "rpcbind runs with -r: it makes calls on behalf of other hosts",
                    why: """
                        CALLIT makes rpcbind call a service from this host's address, so neither the service nor the \
                        firewall sees the real caller. rpcwarden never forwards it, but rpcbind itself still accepts it.
                        """,
                    mend: ["# remove -r in \(optionsFile)", restartRpcbind]))
        }
        if !RpcbindOptions.has("w", in: words) {
            found.append(
                Finding(
                    "no-warm-start", .low, what: "rpcbind runs without -w",
                    why:
                        "A restart of rpcbind loses every registration, and the services have to be restarted after it.",
                    mend: ["# add -w in \(optionsFile)", restartRpcbind]))
        }
        return found
    }

    private var optionsFile: String {
        switch facts.family {
        case .debian: "/etc/default/rpcbind (OPTIONS)"
        case .redHat: "/etc/sysconfig/rpcbind (RPCBIND_ARGS)"
        case .suse: "/etc/sysconfig/rpcbind (RPCBIND_OPTIONS)"
        case .other: "rpcbind's start-up"
        }
    }

    var restartRpcbind: String {
        switch facts.serviceManager {
        case .systemd: "systemctl restart rpcbind.service"
        case .openRC: "rc-service rpcbind restart"
        case .sysV: "service rpcbind restart"
        case .none: "# restart rpcbind"
        }
    }

    // MARK: Registrations

    var registrations: [Finding] {
        guard facts.isRunning else { return [] }
        return stale + untrusted
    }

    private var others: [Registration] {
        (facts.registrations ?? []).filter { $0.program != .portmapper && $0.service != nil }
    }

    private var stale: [Finding] {
        let bound = Set(facts.sockets.map(\.service))
        let dead = others.filter { registration in registration.service.map { !bound.contains($0) } ?? false }
        guard !dead.isEmpty else { return [] }
        return [
            Finding(
                "stale-registration", .low, what: "registered, but no socket listens there: \(Self.list(dead))",
                why: """
                    The services ended without unregistering, and rpcbind still returns their ports. The next process \
                    that binds such a port gets the clients' calls.
                    """, mend: Self.deletions(dead))
        ]
    }

    private var untrusted: [Finding] {
        let strange = others.filter { !facts.expected.trustedOwners.contains($0.owner) }
        guard !strange.isEmpty else { return [] }
        return [
            Finding(
                "untrusted-registration", .medium,
                what: "registered by an owner that isn't trusted: \(Self.list(strange, withOwner: true))",
                why: """
                    Any local user may register a program that is not registered yet. rpcwarden neither guards nor opens \
                    these ports, and denies look-ups of them.
                    """,
                mend: [
                    "# if it is legitimate: add the owner to rpcbind.owners in /etc/rpcwarden/rpcwarden.yaml; otherwise:"
                ] + Self.deletions(strange))
        ]
    }

    /// A longer list would fill the terminal; `rpcwarden registry` lists all registrations.
    private static let listMax = 12

    private static func list(_ registrations: [Registration], withOwner: Bool = false) -> String {
        let texts = registrations.map { registration in
            let service = registration.service.map { "\($0)" } ?? registration.addressText
            let owner = withOwner ? " by \(registration.owner)" : ""
            return "\(registration.program) version \(registration.version) at \(service)\(owner)"
        }
        return list(texts)
    }

    static func list(_ texts: [String]) -> String {
        let unique = texts.uniqued
        let rest = unique.count > listMax ? ", and \(unique.count - listMax) more" : ""
        return unique.prefix(listMax).joined(separator: ", ") + rest
    }

    private static func deletions(_ registrations: [Registration]) -> [String] {
        let commands = Set(registrations.map { "rpcinfo -d \($0.program) \($0.version)" }).sorted()
        return Array(commands.prefix(listMax))
    }
}
