/// Findings about rpcbind behind rpcwarden: rpcbind must have no network, and rpcwarden must be in front of it.
extension Examination {
    var network: [Finding] {
        failed + (facts.isRunning ? noFront + half + foreign + observing : []) + services + abstractName
    }

    /// rpcbind's units, once systemd has them in force, leave rpcbind only its unix sockets.
    var isWithoutNetworkByUnits: Bool {
        facts.socketUnit?.hasUnixSocketsAlone == true && facts.serviceUnit?.hasPrivateNetwork == true
    }

    /// rpcbind has lost its network, and no daemon answers in its place.
    private var noFront: [Finding] {
        guard isInUse, isWithoutNetworkByUnits || facts.rpcbindNetwork == .empty, !isWardenActive, exposed.isEmpty
        else { return [] }
        return [
            Finding(
                "rpcwarden-not-running", .high, what: "rpcbind has no network, but rpcwarden doesn't run",
                why: "No process answers at port 111, so NFSv3 mounts fail.",
                mend: facts.serviceManager == .systemd
                    ? ["systemctl enable --now rpcwarden.socket rpcwarden.service"] : ["rpcwarden serve"])
        ]
    }

    private var half: [Finding] {
        let hasNetwork = facts.rpcbindNetwork == .ofHost || !exposed.isEmpty
        guard facts.serviceManager == .systemd, facts.socketUnit != nil else {
            return isWardenActive && hasNetwork
                ? [
                    stillInNetwork(
                        "rpcbind runs in this host's network", mend: ["# stop it, and start it with:", Self.command])
                ]
                : []
        }
        if isWithoutNetworkByUnits {
            return hasNetwork ? [notRestarted] : []
        }
        // A gateway may have an rpcbind that is turned off.
        guard isWardenActive || isWardenEnabled, !isGateway || isInUse else { return [] }
        return [
            stillInNetwork(
                "rpcbind's units leave it in this host's network",
                mend: ["rpcwarden setup --dry-run", "rpcwarden setup"])
        ]
    }

    /// The command for a host without systemd.
    static let command = "unshare -n rpcbind -w"

    private var notRestarted: Finding {
        Finding(
            "rpcbind-not-restarted", .high,
            what: "rpcbind's units give it no network, but the running rpcbind has one",
            why: "systemd has not read the units again, or rpcbind.socket was not restarted after that.",
            mend: ["systemctl daemon-reload", "systemctl restart rpcbind.socket", "rpcwarden doctor"])
    }

    private func stillInNetwork(_ what: String, mend: [String]) -> Finding {
        Finding(
            "rpcbind-has-network", .high, what: "rpcwarden is in place, but \(what)",
            why: """
                rpcbind binds port 111 wherever it is free, so at the next start either rpcbind or rpcwarden fails. \
                Calls that reach rpcbind directly bypass the policy.
                """, mend: mend)
    }

    /// Sockets at port 111 of a portmapper other than rpcbind and rpcwarden.
    var foreignAtPortmapper: [BoundSocket] {
        guard !facts.unit("rpcwarden.socket").isActive else { return [] }
        return facts.sockets.filter {
            $0.service.port == 111 && $0.isReachable && !exposed.contains($0) && !$0.holders.contains("rpcwarden")
        }
    }

    private var foreign: [Finding] {
        let others = foreignAtPortmapper
        guard !others.isEmpty else { return [] }
        return [
            Finding(
                "port-111-taken", .medium,
                what:
                    "a process other than rpcbind and rpcwarden holds \(others.map(\.text).sorted().joined(separator: ", "))",
                why: "rpcwarden can't bind port 111 while another process holds it.",
                mend: ["ss -lntup 'sport = :111'  # shows the process"])
        ]
    }

    private var observing: [Finding] {
        guard isWardenActive, facts.expected.isObserving else { return [] }
        return [
            Finding(
                "observe-mode", .note, what: "rpcwarden runs in observe mode: it denies nothing and drops nothing",
                why: "Observe mode is meant for the start: it leaves every service as open as without rpcwarden.",
                mend: [
                    "rpcwarden denials  # what enforce would deny",
                    "# in /etc/rpcwarden/rpcwarden.yaml: mode: enforce", "rpcwarden reload",
                ])
        ]
    }

    /// A unit in state `failed`: systemd does not start it again by itself.
    private var failed: [Finding] {
        (["rpcbind.socket"] + SetupFiles.units).filter { facts.unit($0).activity == "failed" }.map { unit in
            let isForIPv6 = unit == "rpcbind.socket" && !facts.hasIPv6 && !isWithoutNetworkByUnits
            let cause =
                isForIPv6
                ? "This host has no IPv6, and the unit lists IPv6 addresses: `rpcwarden setup` removes them. " : ""
            let mend = ["systemctl status \(unit)", "systemctl reset-failed \(unit)", "systemctl restart \(unit)"]
            return Finding(
                "unit-failed", .high, what: "\(unit) has failed",
                why: cause + "It provides no service until it is started again.",
                mend: isForIPv6 ? ["rpcwarden setup --dry-run", "rpcwarden setup"] : mend)
        }
    }

    /// Debian's rpcbind.socket has the path alone, also where libtirpc tries the abstract name first.
    private var abstractName: [Finding] {
        guard facts.takesAbstractSocket, isInUse, use?.needing.isEmpty != true, let unit = facts.socketUnit,
            !unit.unixSockets.contains(where: { $0.hasPrefix("@") })
        else { return [] }
        return [
            Finding(
                "abstract-socket-free", .medium,
                what: "rpcbind.socket doesn't hold \(SetupFiles.abstractSocket), and any local user can",
                why: """
                    Services of this host try that name before \(SetupFiles.rpcbindSocket). Who holds it gets their \
                    registrations: clients don't find them, and rpcwarden doesn't guard their ports.
                    """,
                mend: front)
        ]
    }

    /// rpcbind builds its version 2 list from the ports that it opens, and looks `sunrpc` up with getaddrinfo
    /// first.
    private var services: [Finding] {
        guard facts.hasSunrpc == false, isInUse, isWithoutNetworkByUnits || facts.rpcbindNetwork == .empty else {
            return []
        }
        return [
            Finding(
                "no-sunrpc", .low, what: "/etc/services has no sunrpc, so rpcbind keeps no list for version 2",
                why: """
                    Without that name rpcbind opens no port, not even in its empty network, and answers GETPORT with 0. \
                    rpcwarden then reads the whole list for each look-up, which is slower.
                    """,
                mend: [installServices] + (facts.isRunning ? [restartRpcbind] : []))
        ]
    }

    /// The package that contains /etc/services.
    var installServices: String {
        let lines = "printf 'sunrpc 111/tcp portmapper\\nsunrpc 111/udp portmapper\\n' >>\(facts.root)/etc/services"
        let command =
            switch facts.family {
            case .debian: "apt-get install netbase"
            case .redHat: "dnf install setup"
            case .suse: "zypper install netcfg"
            case .other: lines
            }
        return facts.isRunning || facts.family == .other ? command : "chroot \(facts.root) \(command)"
    }
}
