/// CIS 2.1.12, "Ensure rpcbind services are not in use", with its remedies.
extension Examination {
    static let audit = """
        CIS 2.1.12. Its published audit names cups.socket and cups.service by mistake; the right commands: \
        systemctl is-enabled rpcbind.socket rpcbind.service; systemctl is-active rpcbind.socket rpcbind.service
        """

    var exposure: [Finding] {
        guard facts.isRunning else { return plannedExposure }
        guard !exposed.isEmpty else { return [] }
        let places = exposed.map(\.text).sorted().joined(separator: ", ")
        return [exposure("rpcbind listens beyond loopback: \(places)")]
    }

    /// For an image: the sockets that its next boot would open.
    private var plannedExposure: [Finding] {
        let listens = facts.socketUnit?.exposesPortmapper ?? []
        guard facts.unit("rpcbind.socket").isEnabled, !listens.isEmpty else { return [] }
        return [exposure("rpcbind.socket is enabled, and will listen at \(listens.joined(separator: ", "))")]
    }

    private func exposure(_ what: String) -> Finding {
        Finding(
            "rpcbind-exposed", .high, what: what,
            why: """
                Any host that reaches it can list every RPC service and its port. Over UDP it can be abused for \
                amplification: its replies to forged sources are larger than the calls. \(Self.audit)
                """,
            mend: use?.needing.isEmpty == true ? turnOff : front)
    }

    var need: [Finding] {
        guard isPresent else { return [] }
        guard isInUse else { return leftOver }
        guard let use else { return undecided }
        guard use.needing.isEmpty else { return [] }
        if use.isNFSv4Only { return [nfsV4Only] }
        return [
            Finding(
                "rpcbind-not-needed", .medium,
                what: "rpcbind is in use (\(state)), but no registered program needs it",
                why: """
                    An unneeded service only adds attack surface.\(isGateway ? "" : Self.withoutRpcbind) \(Self.audit)
                    """,
                mend: turnOff)
        ]
    }

    private static let withoutRpcbind = " Without rpcbind, rpcwarden isn't needed either."

    private var nfsV4Only: Finding {
        var mend = turnOff
        if facts.nfs.servesVersion3 != false {
            mend.append("# in /etc/nfs.conf, [nfsd]: vers3=n  (so that version 3 doesn't come back)")
        }
        if !isGateway, facts.unit("rpcwarden.socket").isEnabled || isWardenActive {
            mend.insert("rpcwarden setup --undo", at: 0)
        }
        mend.append("# restrict tcp/2049, the only port of NFSv4, with your own firewall")
        mend.insert(contentsOf: Self.hypervisors, at: 0)
        return Finding(
            "nfsv4-only", .medium,
            what: "only NFSv4 is served here, but rpcbind is in use (\(state))",
            why: """
                NFSv4 clients never ask rpcbind: they connect to tcp/2049. \
                \(isGateway ? "This host needs no rpcbind." : "Neither rpcbind nor rpcwarden is needed.") \(Self.audit)
                """,
            mend: mend)
    }

    /// Hypervisors run both tools before each mount, NFSv4 mounts included, and give up if nfs is not listed.
    private static let hypervisors = [
        "# exception: hypervisors with storage on this host. XenServer, XCP-ng and Proxmox VE run rpcinfo and showmount",
        "# before each mount, and fail without an answer: keep rpcbind, with rpcwarden in front and `list: true` for them",
    ]

    /// The package is installed, but neither enabled nor active. This is sufficient if other packages need it.
    private var leftOver: [Finding] {
        guard case .installed(let others) = facts.package, others.isEmpty else { return [] }
        return [
            Finding(
                "rpcbind-package", .low,
                what: "the package rpcbind is installed but not in use, and no installed package depends on it",
                why: "CIS 2.1.12: remove the package if nothing depends on it.", mend: purge)
        ]
    }

    /// The registrations are unknown.
    private var undecided: [Finding] {
        if facts.hasTooManyRegistrations { return [tooMany] }
        if facts.isRunning { return [runs ? silent : idle] }
        guard !isWardenEnabled, exposure.isEmpty else { return [] }
        return [
            inUse(
                "rpcbind is enabled in this image (\(state))",
                "The programs that will be registered can't be seen in an image.")
        ]
    }

    private var runs: Bool {
        facts.rpcbindNetwork != nil || !heldByRpcbind.isEmpty || Self.rpcbindUnits.contains { facts.unit($0).isActive }
    }

    private var silent: Finding {
        Finding(
            "rpcbind-silent", .medium,
            what: "rpcbind runs (\(state)), but doesn't answer at \(facts.expected.rpcbindSocket)",
            why: "The registrations are unknown, and look-ups fail. \(Self.audit)",
            mend: facts.serviceManager == .systemd
                ? ["systemctl status rpcbind.socket rpcbind.service", "systemctl restart rpcbind.socket"]
                : ["# find out why rpcbind doesn't answer"])
    }

    private var tooMany: Finding {
        Finding(
            "too-many-registrations", .medium,
            what: "rpcbind's list of registrations is longer than 4 MiB, which is the most that doctor reads",
            why: """
                Any local user may register programs that are not registered yet. Look-ups get slower, and which services \
                need rpcbind is unknown here. \(Self.audit)
                """,
            mend: [
                "rpcinfo | awk '{print $NF}' | sort | uniq -c  # registrations by owner",
                "# end the processes of that owner, then delete the registrations: rpcinfo -d PROGRAM VERSION",
            ])
    }

    private var idle: Finding {
        inUse(
            "rpcbind is enabled, but doesn't run now (\(state))",
            "Nothing registered needs rpcbind; it starts at the next boot.")
    }

    private func inUse(_ what: String, _ why: String) -> Finding {
        Finding(
            "rpcbind-in-use", .medium, what: what, why: "\(why) \(Self.audit)",
            mend: ["# if it is not needed:"] + turnOff + ["# if it is needed:"] + front)
    }

    private var state: String {
        var parts = Self.rpcbindUnits.compactMap { name -> String? in
            let unit = facts.unit(name)
            let words = [unit.enablement, unit.activity].filter { !$0.isEmpty }
            return words.isEmpty ? nil : "\(name) \(words.joined(separator: ", "))"
        }
        parts += facts.startFiles
        return parts.isEmpty ? "it runs" : parts.joined(separator: "; ")
    }

    // MARK: Remedies

    /// For a host that does not need rpcbind: purge the package, or stop and mask it if another package depends on
    /// it.
    var turnOff: [String] {
        guard case .installed(let others) = facts.package else {
            return stop + mask + ["# and if no package depends on it:"] + purge
        }
        if others.isEmpty { return stop + purge }
        return stop + mask + ["# the package stays: \(others.joined(separator: ", ")) depend on it"]
    }

    /// For a host that needs rpcbind for a service: put rpcwarden in front.
    var front: [String] {
        guard facts.serviceManager == .systemd else {
            return [
                "# this host has no systemd; the command prints the steps that remain to be done by hand:",
                "rpcwarden setup --dry-run",
            ]
        }
        let place = facts.isRunning ? "" : " --root \(facts.root)"
        return ["rpcwarden setup\(place) --dry-run", "rpcwarden setup\(place)"]
    }

    private var stop: [String] {
        guard facts.isRunning else { return [] }
        return switch facts.serviceManager {
        case .systemd: ["systemctl stop rpcbind.socket rpcbind.service"]
        case .openRC: ["rc-service rpcbind stop"]
        case .sysV: ["service rpcbind stop"]
        case .none: ["# stop rpcbind where it was started"]
        }
    }

    private var mask: [String] {
        switch facts.serviceManager {
        case .systemd:
            ["systemctl \(facts.isRunning ? "" : "--root=\(facts.root) ")mask rpcbind.socket rpcbind.service"]
        case .openRC: inImage("rc-update del rpcbind")
        case .sysV: inImage(facts.family == .debian ? "update-rc.d rpcbind disable" : "chkconfig rpcbind off")
        case .none: []
        }
    }

    /// For an image, the command has to run inside the image.
    private func inImage(_ command: String) -> [String] {
        [facts.isRunning ? command : "chroot \(facts.root) \(command)"]
    }

    private var purge: [String] {
        switch facts.family {
        case .debian: inImage("apt purge rpcbind")
        case .redHat: inImage("dnf remove rpcbind")
        case .suse: inImage("zypper remove rpcbind")
        case .other: ["# remove the package rpcbind"]
        }
    }
}
