import Portmapper

/// rpcbind behind rpcwarden: is it where it should be, and does rpcwarden stand in front?
extension Examination {
    var relocation: [Finding] {
        guard facts.isRunning else { return [] }
        return noFront + half + foreign + observing
    }

    private var isRelocatedByUnit: Bool {
        facts.socketUnit?.isRelocated(port: facts.expected.rpcbindPort) ?? false
    }

    private var loopbackSockets: [BoundSocket] {
        facts.sockets.filter { $0.service.port == facts.expected.rpcbindPort && !$0.isReachable }
    }

    /// rpcbind has moved, and nobody answers in its place.
    private var noFront: [Finding] {
        guard isInUse, isRelocatedByUnit || loopbackSockets.contains(where: { $0.holders.contains("rpcbind") }),
            !isWardenActive, exposed.isEmpty
        else { return [] }
        return [
            Finding(
                "rpcwarden-not-running", .high, what: "rpcbind has moved off port 111, but rpcwarden doesn't run",
                why: "Clients get no answer, and no mount of NFSv3 succeeds.",
                mend: facts.serviceManager == .systemd
                    ? ["systemctl enable --now rpcwarden.socket rpcwarden.service"] : ["rpcwarden serve"])
        ]
    }

    private var half: [Finding] {
        guard facts.serviceManager == .systemd, facts.socketUnit != nil else { return [] }
        let restart = ["systemctl daemon-reload", "systemctl restart rpcbind.socket", "rpcwarden doctor"]
        if isRelocatedByUnit, !exposed.isEmpty {
            return [
                Finding(
                    "relocation-not-in-force", .high,
                    what: "rpcbind.socket's files move rpcbind off port 111, but it is still there",
                    why: "systemd has not read them, or rpcbind.socket was not restarted since.", mend: restart)
            ]
        }
        guard isWardenActive || isWardenEnabled, !isRelocatedByUnit else { return [] }
        return [
            Finding(
                "relocation-missing", .high,
                what: "rpcwarden is in place, but rpcbind.socket's files don't move rpcbind off port 111",
                why: """
                    Both want port 111: at the next boot one of them fails. All five sockets have to be given, for \
                    rpcbind opens port 111 by itself for each that isn't.
                    """,
                mend: ["rpcwarden setup --dry-run", "rpcwarden setup"])
        ]
    }

    /// Somebody else's portmapper.
    private var foreign: [Finding] {
        let others = facts.sockets.filter {
            $0.service.port == 111 && $0.isReachable && !exposed.contains($0) && !$0.holders.contains("rpcwarden")
        }
        guard !others.isEmpty, !facts.unit("rpcwarden.socket").isActive else { return [] }
        return [
            Finding(
                "port-111-taken", .medium,
                what: "neither rpcbind nor rpcwarden holds \(others.map(\.text).sorted().joined(separator: ", "))",
                why: "rpcwarden can't take port 111 while another process has it.",
                mend: ["ss -lntup 'sport = :111'  # tells who it is"])
        ]
    }

    private var observing: [Finding] {
        guard isWardenActive, facts.expected.isObserving else { return [] }
        return [
            Finding(
                "observe-mode", .note, what: "rpcwarden observes: it denies nothing and drops nothing",
                why: "Right for the start. Until it enforces, everything is as open as without it.",
                mend: [
                    "rpcwarden denials  # what enforce would deny",
                    "# in /etc/rpcwarden/rpcwarden.yaml: mode: enforce", "rpcwarden reload",
                ])
        ]
    }
}
