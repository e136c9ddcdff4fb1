import Addresses

extension SetupPlan {
    /// The plan from the present state of the host to rpcwarden in front of rpcbind, in observe mode.
    public static func setup(_ facts: SetupFacts) -> Self {
        var plan = Self()
        guard facts.host.serviceManager == .systemd else {
            plan.block(Self.byHand)
            return plan
        }
        plan.look(at: facts)
        plan.configure(facts, SetupFiles.configurationText, policy: SetupFiles.policyText)
        plan.addUser(facts)
        plan.isolate(facts)
        plan.start(facts)
        plan.next = next(after: plan, facts)
        return plan
    }

    private static func next(after plan: Self, _ facts: SetupFacts) -> [String] {
        let observes = !facts.hasConfiguration || facts.host.expected.isObserving
        guard plan.obstacles.isEmpty, !plan.actions.isEmpty, !facts.isImage, observes else { return [] }
        return [
            "rpcwarden is in front of rpcbind, and observes: every call is answered, and what enforce would deny is logged.",
            """
            Next: write rules into \(SetupFiles.policyFolder). `rpcwarden import-exports` drafts them from /etc/exports, \
            `rpcwarden learn` from the calls of some days. Then run `rpcwarden check` and `rpcwarden reload`.
            """,
        ]
    }

    private mutating func look(at facts: SetupFacts) {
        if !facts.installedUnits.contains("rpcbind.socket") {
            block(
                """
                there is no rpcbind.socket, so rpcwarden has no rpcbind to forward calls to. If this host needs rpcbind, \
                install the package rpcbind first; `rpcwarden doctor` says whether it does
                """)
        } else if facts.host.unit("rpcbind.socket").isMasked {
            block(
                """
                rpcbind.socket is masked, so rpcbind is turned off on purpose. If this host needs it: \
                systemctl unmask rpcbind.socket rpcbind.service
                """)
        }
        lookForUnits(facts)
        lookAtKernelAndPort(facts)
        lookAtDropIns(facts)
        lookAtConfiguration(facts)
    }

    /// A daemon that can't start would leave port 111 to nobody.
    mutating func lookAtKernelAndPort(_ facts: SetupFacts) {
        if facts.host.kernel.hasNFTables == false {
            block("this kernel has no nf_tables, without which rpcwarden doesn't start; run a kernel that has it")
        }
        let others = Examination(facts.host).foreignAtPortmapper.map(\.text).sorted()
        if !others.isEmpty {
            block(
                """
                a process other than rpcbind and rpcwarden holds \(others.joined(separator: ", ")), and rpcwarden needs \
                it; `ss -lntup 'sport = :111'` shows the process: stop it first
                """)
        }
    }

    mutating func lookForUnits(_ facts: SetupFacts) {
        for unit in SetupFiles.units where !facts.installedUnits.contains(unit) {
            block(
                "\(unit) is not installed: install the package, or copy systemd/\(unit) to /etc/systemd/system")
        }
    }

    private mutating func lookAtDropIns(_ facts: SetupFacts) {
        // A drop-in that setup didn't write is neither overwritten nor trusted.
        for dropIn in Self.dropIns(facts) where dropIn.isForeign(facts) && !dropIn.isInForce {
            block(
                "\(facts.root)\(dropIn.path) was not written by setup, and \(dropIn.lack). Move it away, then run setup again"
            )
        }
        if !facts.host.laterPorts.isEmpty {
            block(
                """
                rpcbind.socket gets ports from drop-ins that override setup's \(SetupFiles.dropInName): \
                \(facts.host.laterPorts.joined(separator: ", ")); remove the ports there
                """)
        }
        let expected = facts.host.expected.rpcbindSocket
        guard let unit = facts.host.socketUnitOfOthers,
            !Self.sockets(of: unit).contains(where: { Self.isSame($0, expected) })
        else { return }
        block(
            """
            rpcwarden.yaml expects rpcbind at \(expected), but the unit rpcbind.socket has \
            \(Self.sockets(of: unit).joined(separator: ", ")); set `rpcbind: {socket: …}` in rpcwarden.yaml to one of them
            """)
    }

    /// Compares two paths; /var/run is a link to /run.
    private static func isSame(_ path: String, _ other: String) -> Bool {
        func plain(_ path: String) -> Substring { path.hasPrefix("/var/run/") ? path.dropFirst(4) : path[...] }
        return plain(path) == plain(other)
    }

    /// Checks the configuration. Once rpcbind has no network, a daemon that doesn't start, or that denies all
    /// calls, is an outage.
    mutating func lookAtConfiguration(_ facts: SetupFacts) {
        if let path = facts.otherConfiguration, !facts.startsWithOtherConfiguration {
            block(
                """
                rpcwarden.service doesn't start with --config \(path), so the daemon would read \
                \(SetupFiles.configuration); add a drop-in of rpcwarden.service whose ExecStart has it
                """)
        }
        if let error = facts.configurationErrors.first {
            return block("rpcwarden would not start: \(error); first correct the errors that `rpcwarden check` prints")
        }
        guard facts.hasConfiguration, !facts.host.expected.isObserving, !facts.hasFleetPolicy else { return }
        guard facts.hasRules, !facts.lacksPolicy else {
            return block(
                """
                \(facts.otherConfiguration ?? SetupFiles.configuration) has mode enforce, and there is no policy with a \
                rule: every call would be denied. Write a policy, or set `mode: observe`
                """)
        }
    }

    private static let byHand = """
        this host has no systemd. By hand:
          1. start rpcbind in an empty network of its own: `\(Examination.command)`. It binds port 111 there, where no
             client can reach it; rpcwarden and the services of this host use its unix socket, /run/rpcbind.sock
          2. write /etc/rpcwarden/rpcwarden.yaml with `mode: observe`, and a policy below /etc/rpcwarden/policy.d
          3. have your service manager run `rpcwarden serve` after rpcbind, as root or with CAP_NET_ADMIN and
             CAP_NET_BIND_SERVICE
        """

    // MARK: Files

    mutating func configure(_ facts: SetupFacts, _ text: String, policy: String) {
        let record = facts.root + SetupFiles.recordFolder
        if !facts.folders.contains(SetupFiles.recordFolder) {
            act(.makeFolder(record), .folder(SetupFiles.recordFolder))
        }
        if let path = facts.otherConfiguration {
            alreadySo("\(path) is the configuration")
        } else {
            makeFolder(SetupFiles.folder, facts)
            write(SetupFiles.configuration, text, facts)
        }
        if facts.hasConfiguration, !facts.host.expected.isObserving {
            note("rpcwarden enforces from the start; with `mode: observe` it would only log denials")
        }
        // Nothing would read a policy in another place.
        guard facts.readsPolicyFolder else { return alreadySo("the configuration names another policy") }
        makeFolder(SetupFiles.policyFolder, facts)
        if facts.policies.isEmpty {
            write(SetupFiles.policy, policy, facts)
        } else {
            alreadySo("\(facts.root)\(SetupFiles.policyFolder) has a policy: \(facts.policies.joined(separator: ", "))")
        }
    }

    mutating func makeFolder(_ path: String, _ facts: SetupFacts) {
        if facts.folders.contains(path) { return }
        act(.makeFolder(facts.root + path), .folder(path))
    }

    private mutating func write(_ path: String, _ text: String, _ facts: SetupFacts) {
        if facts.files[path] != nil { return alreadySo("\(facts.root)\(path) exists, and is kept") }
        act(.writeFile(facts.root + path, text: text), .file(path, mark: SetupRecord.mark(of: text.utf8)))
    }

    mutating func write(_ dropIn: DropIn, _ facts: SetupFacts) {
        makeFolder(dropIn.folder, facts)
        act(
            .writeFile(facts.root + dropIn.path, text: dropIn.text),
            .file(dropIn.path, mark: SetupRecord.mark(of: dropIn.text.utf8)))
    }

    mutating func addUser(_ facts: SetupFacts) {
        let name = SetupFiles.user
        if facts.hasUser { return alreadySo("the user \(name) exists") }
        let root = facts.isImage ? ["--root=\(facts.root)"] : []
        if facts.hasSysusers {
            let line = "u \(name) - \"RPC access proxy\" /"
            act(.run(["systemd-sysusers"] + root + ["--inline", line]), .user(name))
        } else {
            let prefix = facts.isImage ? ["--prefix", facts.root] : []
            act(
                .run(
                    ["useradd"] + prefix + ["--system", "--user-group", "--no-create-home", "--home-dir", "/"]
                        + ["--shell", "/usr/sbin/nologin", name]),
                .user(name))
        }
    }

    // MARK: rpcbind

    private static func sockets(of unit: SocketUnit) -> [String] {
        let sockets = unit.unixSockets
        return sockets.contains { $0.hasPrefix("/") } ? sockets : [SetupFiles.rpcbindSocket] + sockets
    }

    private static func dropIns(_ facts: SetupFacts) -> [DropIn] {
        let host = facts.host
        let sockets = host.socketUnitOfOthers.map(sockets(of:)) ?? [SetupFiles.rpcbindSocket]
        let abstract = host.takesAbstractSocket && !sockets.contains { $0.hasPrefix("@") }
        return [
            DropIn(
                path: SetupFiles.socketDropIn, folder: SetupFiles.socketDropInFolder,
                text: SetupFiles.socketDropInText(sockets + (abstract ? [SetupFiles.abstractSocket] : [])),
                isInForce: host.socketUnit?.hasUnixSocketsAlone == true,
                lack: "with it rpcbind.socket has ports, or no unix socket"),
            DropIn(
                path: SetupFiles.serviceDropIn, folder: SetupFiles.serviceDropInFolder,
                text: SetupFiles.serviceDropInText, isInForce: host.serviceUnit?.hasPrivateNetwork == true,
                lack: "with it rpcbind.service lacks PrivateNetwork=yes"),
        ]
    }

    /// Takes rpcbind's network away.
    private mutating func isolate(_ facts: SetupFacts) {
        let dropIns = Self.dropIns(facts)
        let due = dropIns.filter { $0.isDue(facts) }
        for dropIn in due { write(dropIn, facts) }
        if due.isEmpty, dropIns.allSatisfy(\.isInForce) { alreadySo("rpcbind's units give it no network") }
        if facts.host.hasSunrpc == false {
            note(
                """
                /etc/services has no sunrpc: rpcbind will keep no list for version 2, and look-ups are slower. To correct \
                it, run this before setup: `\(Examination(facts.host).installServices)`
                """)
        }
        guard !facts.isImage else { return }
        if due.isEmpty, isIsolated(facts.host) {
            return alreadySo("rpcbind has no network")
        }
        tellOfRestart(facts)
        act(.run(["systemctl", "daemon-reload"]))
        // Restart, rather than stop and start: a stop would also stop the units that require the socket, such as
        // rpc-statd, and they would stay stopped.
        act(.run(["systemctl", "restart", "rpcbind.socket"]))
        if facts.host.unit("rpcbind.service").isActive { act(.run(["systemctl", "start", "rpcbind.service"])) }
        act(.compareRegistrations)
    }

    /// rpcbind runs without a network, or systemd starts it so at the next call: a restart that failed isn't enough.
    private func isIsolated(_ host: HostFacts) -> Bool {
        guard host.unit("rpcbind.socket").isActive, Examination(host).exposed.isEmpty else { return false }
        switch host.rpcbindNetwork {
        case .empty: return true
        case .ofHost: return false
        case nil: return host.registrations != nil
        }
    }

    /// Notes the effects of the restart beforehand.
    private mutating func tellOfRestart(_ facts: SetupFacts) {
        let along = facts.dependents.filter { !$0.hasPrefix("rpcbind.") }
        if !along.isEmpty {
            note("systemd restarts these units along with rpcbind.socket: \(along.joined(separator: ", "))")
        }
        let options = facts.host.rpcbindOptions ?? []
        if RpcbindOptions.has("w", in: options) {
            return note("rpcbind runs with -w (warm start): it keeps its registrations")
        }
        let programs = Set((facts.host.registrations ?? []).map(\.program)).subtracting([.portmapper]).sorted()
        guard !programs.isEmpty else { return }
        note(
            """
            rpcbind runs without -w: its restart loses the registrations. Restart these services after it: \
            \(Self.services(of: programs).joined(separator: ", "))
            """)
    }

    /// The services to restart so that these programs are registered again.
    public static func services(of programs: [Program]) -> [String] {
        programs.reduce(into: []) { found, program in
            let name = services[program] ?? "the server of program \(program)"
            if !found.contains(name) { found.append(name) }
        }
    }

    private static let services: [Program: String] = [
        .nfs: "nfs-server (or nfs-ganesha)", .mountd: "nfs-server (or nfs-ganesha)",
        .nlockmgr: "nfs-server (or nfs-ganesha)", Program(100_227): "nfs-server (or nfs-ganesha)",
        .status: "rpc-statd", Program(100_011): "rpc-rquotad (or nfs-ganesha)", Program(100_004): "ypserv",
        Program(100_007): "ypbind", Program(100_009): "yppasswdd",
    ]

    // MARK: rpcwarden

    mutating func start(_ facts: SetupFacts) {
        let missing = SetupFiles.units.filter { !facts.host.unit($0).isEnabled }
        if facts.isImage {
            guard !missing.isEmpty else { return alreadySo("\(SetupFiles.units.joined(separator: ", ")) are enabled") }
            steps.append(
                .act(
                    .run(["systemctl", "--root=\(facts.root)", "enable"] + missing),
                    record: missing.map { .enabled($0) }))
            return note("the other steps are done at the image's first boot")
        }
        if !facts.host.hasIPv6 { note("this host has no IPv6: rpcwarden answers only over IPv4") }
        let isDone = SetupFiles.units.allSatisfy { facts.host.unit($0).isEnabled && facts.host.unit($0).isActive }
        if isDone { return alreadySo("\(SetupFiles.units.joined(separator: ", ")) are enabled and running") }
        steps.append(
            .act(
                .run(["systemctl", "enable", "--now"] + SetupFiles.units), record: missing.map { .enabled($0) }))
    }
}
