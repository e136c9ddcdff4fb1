import Addresses
import Portmapper
import Testing

@testable import HostPosture

@Suite("findings") struct ExaminationTests {
    /// rpcbind behind rpcwarden on a Debian server with NFSv3, without findings.
    static func sound() -> HostFacts {
        var facts = HostFacts()
        facts.family = .debian
        facts.package = .installed(neededBy: ["nfs-common"])
        for unit in ["rpcbind.socket", "rpcbind.service"] + SetupFiles.units {
            facts.units[unit] = UnitState(enablement: "enabled", activity: "active")
        }
        facts.socketUnit = SocketUnit([FakeHost.socketUnit, dropIn])
        facts.serviceUnit = ServiceUnit([SetupFiles.serviceDropInText])
        facts.rpcbindNetwork = .empty
        facts.hasSunrpc = true
        facts.sockets = [
            BoundSocket(ServicePort(.tcp, 111), at: .v4(0), holders: ["rpcwarden"]),
            BoundSocket(ServicePort(.tcp, 2049), at: .v4(0)), BoundSocket(ServicePort(.tcp, 20048), at: .v4(0)),
        ]
        facts.rpcbindOptions = ["-f", "-w"]
        facts.registrations = registrations(.service(100_003, 3), .service(100_005, 3, port: 20048))
        facts.kernel.hasNFTables = true
        facts.kernel.hasPacketLog = true
        facts.kernel.release = "6.12.1-amd64"
        facts.ruleset = ""
        facts.helperPorts.read(nfsConf: "[mountd]\nport=20048\n", file: "/etc/nfs.conf")
        return facts
    }

    private static let dropIn = SetupFiles.socketDropInText([SetupFiles.rpcbindSocket])

    /// The same server before rpcwarden was set up.
    static func stock() -> HostFacts {
        var facts = sound()
        for unit in SetupFiles.units { facts.units[unit] = UnitState(enablement: "", activity: "inactive") }
        facts.socketUnit = SocketUnit([FakeHost.socketUnit])
        facts.serviceUnit = ServiceUnit([])
        facts.rpcbindNetwork = .ofHost
        facts.sockets[0].holders = ["rpcbind"]
        return facts
    }

    static func registrations(_ list: RPCB...) -> [Registration] {
        ([.service(100_000, 4, port: 111)] + list).compactMap(Registration.init)
    }

    private func names(_ facts: HostFacts) -> [String] { Examination(facts).findings.map(\.finding) }

    private func finding(_ name: String, in facts: HostFacts) throws -> Finding {
        try #require(Examination(facts).findings.first { $0.finding == name }, "\(names(facts))")
    }

    @Test("a server that is as it should be has none")
    func none() { #expect(Examination(Self.sound()).findings == []) }

    @Test("rpcbind on port 111 that is needed is to be fronted, and CIS's audit asks for rpcbind")
    func exposed() throws {
        #expect(names(Self.stock()) == ["rpcbind-exposed"])
        let finding = try finding("rpcbind-exposed", in: Self.stock())
        #expect(finding.severity == .high && finding.what.contains("tcp 0.0.0.0:111"))
        #expect(finding.mend == ["rpcwarden setup --dry-run", "rpcwarden setup"])
        #expect(finding.why.contains("CIS 2.1.12"))
        #expect(finding.why.contains("systemctl is-active rpcbind.socket rpcbind.service"))
    }

    @Test("a socket that systemd holds for rpcbind is exposed before the first call")
    func socketOnly() {
        var facts = Self.stock()
        facts.sockets[0].holders = []
        facts.units["rpcbind.service"] = UnitState(enablement: "enabled", activity: "inactive")
        #expect(names(facts) == ["rpcbind-exposed"])
        facts.units["rpcbind.socket"] = UnitState(enablement: "disabled", activity: "inactive")
        #expect(names(facts).contains("port-111-taken"))
    }

    @Test("loopback alone is no exposure")
    func loopback() {
        var facts = Self.stock()
        facts.sockets[0].address = .v4(0x7f00_0001)
        #expect(!names(facts).contains("rpcbind-exposed"))
    }

    @Test(
        "CIS 2.1.12: not needed, it is purged, or stopped and masked where another package depends on it",
        arguments: [
            (HostFacts.Family.debian, "apt purge rpcbind"), (.redHat, "dnf remove rpcbind"),
            (.suse, "zypper remove rpcbind"),
        ])
    func notNeeded(family: HostFacts.Family, purge: String) throws {
        var facts = Self.stock()
        facts.family = family
        facts.registrations = Self.registrations()
        facts.package = .installed(neededBy: [])
        #expect(names(facts) == ["rpcbind-exposed", "rpcbind-not-needed"])
        let stop = "systemctl stop rpcbind.socket rpcbind.service"
        #expect(try finding("rpcbind-not-needed", in: facts).mend == [stop, purge])
        #expect(try finding("rpcbind-exposed", in: facts).mend == [stop, purge])
        facts.package = .installed(neededBy: ["nfs-common"])
        let mend = try finding("rpcbind-not-needed", in: facts).mend
        #expect(mend.prefix(2) == [stop, "systemctl mask rpcbind.socket rpcbind.service"])
        #expect(!mend.contains(purge) && mend[2].contains("nfs-common"))
    }

    @Test("stopped and masked is enough where another package depends on it; else the package is left over")
    func masked() {
        var facts = Self.stock()
        facts.sockets = []
        facts.registrations = nil
        facts.rpcbindNetwork = nil
        for unit in facts.units.keys { facts.units[unit] = UnitState(enablement: "masked", activity: "inactive") }
        #expect(names(facts) == [])
        // Setup's drop-ins that were left behind change nothing.
        facts.socketUnit = SocketUnit(["", Self.dropIn])
        facts.serviceUnit = ServiceUnit([SetupFiles.serviceDropInText])
        #expect(names(facts) == [])
        facts.package = .installed(neededBy: [])
        #expect(names(facts) == ["rpcbind-package"])
        facts.package = .absent
        #expect(names(facts) == [])
    }

    @Test("NFSv4 alone needs neither rpcbind nor rpcwarden, also behind rpcwarden")
    func nfsV4Only() throws {
        for (facts, undo) in [(Self.stock(), false), (Self.sound(), true)] {
            var facts = facts
            facts.registrations = Self.registrations(.service(100_003, 4))
            let finding = try finding("nfsv4-only", in: facts)
            #expect(finding.why.contains("Neither rpcbind nor rpcwarden is needed"))
            #expect(finding.mend.contains("systemctl mask rpcbind.socket rpcbind.service"))
            #expect(finding.mend.contains("rpcwarden setup --undo") == undo)
            #expect(finding.mend.contains { $0.contains("vers3=n") })
            // xapi sm 551: hypervisors run their checks before each mount of NFSv4 too.
            #expect(finding.mend.contains { $0.contains("hypervisors") && $0.contains("Proxmox VE") })
        }
    }

    @Test(
        "what needs rpcbind is told from what doesn't",
        arguments: [
            ([.service(100_003, 4)], nil, false, [], true), ([.service(100_003, 3)], nil, false, [100_003], false),
            ([.service(100_005, 3)], false, false, [100_005], false), ([], nil, false, [], false),
            ([], false, false, [], true),
            // statd and lockd: of the server's version 3, or of this host's own mounts
            ([.service(100_003, 4), .service(100_024, 1)], nil, false, [100_024], false),
            ([.service(100_003, 4), .service(100_024, 1), .service(100_021, 4)], false, false, [], true),
            ([.service(100_003, 4), .service(100_024, 1)], false, true, [100_024], false),
        ] as [([RPCB], Bool?, Bool, Set<UInt32>, Bool)])
    func use(list: [RPCB], version3: Bool?, mounts: Bool, needing: Set<UInt32>, isNFSv4Only: Bool) {
        let use = RpcbindUse(list.compactMap(Registration.init), servesVersion3: version3, mountsOldNFS: mounts)
        #expect(Set(use.needing.map(\.rawValue)) == needing)
        #expect(use.isNFSv4Only == isNFSv4Only)
    }

    @Test("nobody tells what is registered: a silent rpcbind, or one that is only enabled")
    func undecided() throws {
        var facts = Self.sound()
        facts.registrations = nil
        #expect(names(facts) == ["rpcbind-silent"])
        facts = Self.stock()
        facts.registrations = nil
        facts.rpcbindNetwork = nil
        facts.sockets = []
        facts.units["rpcbind.socket"] = UnitState(enablement: "enabled", activity: "inactive")
        facts.units["rpcbind.service"] = UnitState(enablement: "enabled", activity: "inactive")
        #expect(names(facts) == ["rpcbind-in-use"])
        let mend = try finding("rpcbind-in-use", in: facts).mend
        #expect(mend.contains("systemctl mask rpcbind.socket rpcbind.service") && mend.contains("rpcwarden setup"))
    }

    @Test("too many registrations are no silence, and no reason for a restart")
    func tooMany() throws {
        var facts = Self.sound()
        facts.registrations = nil
        facts.hasTooManyRegistrations = true
        #expect(names(facts) == ["too-many-registrations"])
        #expect(try !finding("too-many-registrations", in: facts).mend.contains { $0.contains("restart") })
    }

    @Test("a configuration that the daemon would refuse is told first, with the command that tells all of it")
    func configuration() throws {
        var facts = Self.sound()
        facts.configurationErrors = ["a.yaml:1:7: error: unknown mode", "b"]
        let found = try finding("configuration-refused", in: facts)
        #expect(found.severity == .high && found.what.contains("a.yaml:1:7: error: unknown mode, and 1 more"))
        #expect(found.mend == ["rpcwarden check"])
        facts.configurationPath = "/srv/a.yaml"
        #expect(try finding("configuration-refused", in: facts).mend == ["rpcwarden check --config /srv/a.yaml"])
    }

    @Test("rpcbind without a network and nobody in front, and rpcwarden in front of one that still has a network")
    func network() throws {
        var facts = Self.sound()
        facts.units["rpcwarden.socket"] = UnitState(enablement: "disabled", activity: "inactive")
        facts.sockets.remove(at: 0)
        #expect(names(facts) == ["rpcwarden-not-running"])

        // With one drop-in alone, rpcbind still has ports: its own, or those that systemd passes.
        facts = Self.sound()
        facts.socketUnit = SocketUnit([FakeHost.socketUnit])
        #expect(names(facts) == ["rpcbind-has-network"])
        facts = Self.sound()
        facts.serviceUnit = ServiceUnit([])
        #expect(names(facts) == ["rpcbind-has-network"])
        #expect(try finding("rpcbind-has-network", in: facts).mend.last == "rpcwarden setup")

        facts = Self.stock()
        facts.socketUnit = SocketUnit([FakeHost.socketUnit, Self.dropIn])
        facts.serviceUnit = ServiceUnit([SetupFiles.serviceDropInText])
        #expect(names(facts) == ["rpcbind-exposed", "rpcbind-not-restarted"])
    }

    @Test("as setup of 0.1.0 left it, at loopback, rpcbind still has a network")
    func earlierRelocation() {
        var facts = Self.sound()
        facts.socketUnit = SocketUnit([FakeHost.socketUnit, SetupFiles.socketDropInTextOf010])
        facts.serviceUnit = ServiceUnit([])
        facts.rpcbindNetwork = .ofHost
        facts.sockets.append(BoundSocket(ServicePort(.tcp, 1111), at: .v4(0x7f00_0001), holders: ["rpcbind"]))
        #expect(names(facts) == ["rpcbind-has-network"])
    }

    @Test("without systemd: an rpcbind in this host's network beside rpcwarden, and how to start it")
    func noSystemd() throws {
        var facts = Self.sound()
        facts.serviceManager = .none
        (facts.units, facts.socketUnit, facts.serviceUnit) = ([:], nil, nil)
        #expect(names(facts) == [])
        facts.rpcbindNetwork = .ofHost
        #expect(try finding("rpcbind-has-network", in: facts).mend.last == "unshare -n rpcbind -w")
    }

    @Test("units that systemd has given up; where there is no IPv6, setup takes what can't be bound out of rpcbind's")
    func failedUnits() throws {
        var facts = Self.sound()
        facts.units["rpcwarden.socket"] = UnitState(enablement: "enabled", activity: "failed")
        #expect(names(facts) == ["unit-failed"])
        #expect(try finding("unit-failed", in: facts).mend.last == "systemctl restart rpcwarden.socket")
        facts = Self.stock()
        (facts.sockets, facts.rpcbindNetwork, facts.hasIPv6) = ([], nil, false)
        facts.units["rpcbind.socket"] = UnitState(enablement: "enabled", activity: "failed")
        let failed = try finding("unit-failed", in: facts)
        #expect(failed.why.hasPrefix("This host has no IPv6") && failed.mend.last == "rpcwarden setup")
    }

    @Test("without sunrpc in /etc/services an rpcbind without a network keeps no list for version 2")
    func sunrpc() throws {
        var facts = Self.sound()
        facts.hasSunrpc = false
        #expect(names(facts) == ["no-sunrpc"])
        #expect(
            try finding("no-sunrpc", in: facts).mend == [
                "apt-get install netbase", "systemctl restart rpcbind.service",
            ])
        facts.family = .other
        #expect(try finding("no-sunrpc", in: facts).mend[0].contains(">>/etc/services"))
        // With ports passed by systemd, rpcbind does not look the name up.
        facts = Self.stock()
        facts.hasSunrpc = false
        #expect(names(facts) == ["rpcbind-exposed"])
    }

    @Test(
        "the abstract name of rpcbind's socket, where rpcbind serves it and its unit leaves it to anybody",
        arguments: [
            ("1.2.6-6+b1", false), ("1.2.7-1", true), ("1:1.2.10", true), ("1.3~rc1-1", true), ("1.2", false),
            ("", false), ("unknown", false),
        ])
    func abstractName(version: String, isTaken: Bool) throws {
        var facts = Self.sound()
        facts.rpcbindVersion = version
        #expect(names(facts) == (isTaken ? ["abstract-socket-free"] : []))
        guard isTaken else { return }
        let mend = try finding("abstract-socket-free", in: facts).mend
        #expect(mend == ["rpcwarden setup --dry-run", "rpcwarden setup"])
        facts.socketUnit = SocketUnit([SetupFiles.socketDropInText(["/run/rpcbind.sock", "@/run/rpcbind.sock"])])
        #expect(names(facts) == [])
    }

    @Test("NFS over RDMA, by the kernel's list or by its registration, can't be guarded")
    func rdma() throws {
        var facts = Self.sound()
        facts.nfsdListeners = ["rdma 20049", "tcp 2049"]
        facts.rdmaRegistrations = ["rdma 20049"]
        #expect(names(facts) == ["rdma-unguarded"])
        let found = try finding("rdma-unguarded", in: facts)
        #expect(found.severity == .medium && found.what.contains("(rdma 20049)"))
        #expect(found.mend.contains { $0.contains("rdma=n") })
        (facts.nfsdListeners, facts.rdmaRegistrations) = (["tcp 2049", "udp 2049"], ["rdma6 20049"])
        #expect(try finding("rdma-unguarded", in: facts).what.contains("(rdma6 20049)"))
        facts.rdmaRegistrations = (1...40).map { "rdma \($0)" }
        #expect(try finding("rdma-unguarded", in: facts).what.contains("rdma 12, and 28 more"))
        facts.rdmaRegistrations = []
        #expect(names(facts) == [])
    }

    @Test("somebody else's portmapper")
    func foreign() {
        var facts = Self.sound()
        facts.sockets[0].holders = []
        #expect(names(facts) == [])
        for unit in ["rpcwarden.socket", "rpcbind.socket"] {
            facts.units[unit] = UnitState(enablement: "disabled", activity: "inactive")
        }
        #expect(names(facts).contains("port-111-taken"))
    }

    @Test("remote calls where rpcbind has a network to make them in, and no warm start")
    func options() throws {
        var facts = Self.stock()
        facts.rpcbindOptions = ["-f", "-wr"]
        #expect(names(facts) == ["rpcbind-exposed", "remote-calls"])
        #expect(try finding("remote-calls", in: facts).mend.last == "systemctl restart rpcbind.service")
        facts = Self.sound()
        facts.rpcbindOptions = ["-f", "-wr"]
        #expect(names(facts) == [])
        facts.rpcbindOptions = ["-f"]
        #expect(names(facts) == ["no-warm-start"])
        facts.rpcbindOptions = nil
        #expect(names(facts) == [])
    }

    @Test("stale and untrusted registrations, with the command that deletes them")
    func registrations() throws {
        var facts = Self.sound()
        facts.registrations = Self.registrations(
            .service(100_003, 3), .service(100_005, 3, port: 4000), .service(300_001, 1, owner: "1000"))
        #expect(names(facts) == ["untrusted-registration", "stale-registration"])
        #expect(try finding("stale-registration", in: facts).mend == ["rpcinfo -d 100005 3"])
        let untrusted = try finding("untrusted-registration", in: facts)
        #expect(untrusted.what.contains("300001 version 1 at tcp/2049 by 1000"))
        #expect(untrusted.mend.last == "rpcinfo -d 300001 1")
        facts.expected.trustedOwners.insert("1000")
        #expect(!names(facts).contains("untrusted-registration"))
    }

    @Test("a table that drops what we accept, with the rule it needs")
    func otherTables() throws {
        var facts = Self.sound()
        func table(_ name: String, _ chain: String) -> String {
            "table \(name) {\n\tchain \(chain) {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n}\n"
        }
        facts.ruleset = table("inet filter", "input")
        facts.expected.mark = 0x200
        let finding = try finding("other-table-drops", in: facts)
        #expect(finding.what.contains("may drop"))
        #expect(finding.mend[0] == "nft insert rule inet filter input meta mark and 0x200 != 0 accept")
        facts.ruleset = table("ip6 filter", "INPUT")
        #expect(
            try self.finding("other-table-drops", in: facts).mend.contains(
                "ip6tables -I INPUT -m mark --mark 0x200/0x200 -j ACCEPT"))
        facts.ruleset = table("inet firewalld", "filter_INPUT")
        #expect(try self.finding("other-table-drops", in: facts).mend[0].hasPrefix("firewall-cmd"))
    }

    @Test("a rule of 0.1.0's recipe, for another bit, lets nothing pass that we accept")
    func otherBit() throws {
        var facts = Self.sound()
        facts.ruleset = """
            table inet filter {
            \tchain input {
            \t\ttype filter hook input priority filter; policy drop;
            \t\tmeta mark & 0x00010000 != 0x00000000 accept
            \t}
            }
            """
        #expect(names(facts) == ["other-table-drops"])
        facts.expected.mark = 0x10000
        #expect(names(facts) == [])
    }

    @Test(
        "a table that sets or looks at bits of ours, and which bit is free",
        arguments: [
            ("meta mark set meta mark | 0x00002000", "medium", "sets 0x2000 of the packet mark", "mark: 0x1000"),
            ("meta mark set 0x0000ca6c", "", "", ""),
            ("counter packets 0 bytes 0 meta mark set 0x00002001", "medium", "sets 0x2000", "mark: 0x1000"),
            ("meta mark set meta mark & 0xffff2fff ^ 0x00001000", "", "", ""),
            ("meta mark & 0x0000f000 == 0x00003000 drop", "low", "matches 0x2000", "mark: 0x400"),
            ("meta mark & 0x00002000 != 0x00000000 accept", "", "", ""),
            (
                "ct mark set ct mark | 0x60000000", "medium", "sets 0x60000000 of the connection mark",
                "ct-mark: 0x1000000"
            ),
            ("ct mark set 0x20000000 meta mark set 0x1", "medium", "sets 0x20000000", "{ct-mark: 0x1000000}"),
            (
                "ct mark 0x40000000 accept", "low", "matches 0x40000000 of the connection mark",
                "{own-ct-mark: 0x1000000}"
            ),
            ("meta mark set 0x20000000", "", "", ""),
        ])
    func marks(rule: String, severity: String, what: String, mend: String) throws {
        var facts = Self.sound()
        facts.ruleset = """
            table inet rpcwarden {
            \tchain admitted {
            \t\tct mark set ct mark | 0x20000000
            \t\tmeta mark set meta mark | 0x00002000
            \t}
            }
            table ip mangle {
            \tchain PREROUTING {
            \t\ttype filter hook prerouting priority mangle; policy accept;
            \t\t\(rule)
            \t}
            }
            """
        guard !severity.isEmpty else {
            #expect(names(facts) == [])
            return
        }
        let finding = try finding("mark-bit-shared", in: facts)
        #expect(finding.severity.rawValue == severity && names(facts).count == 1)
        #expect(finding.what.hasPrefix("table ip mangle \(what)") && finding.what.hasSuffix(rule), "\(finding.what)")
        #expect(finding.mend[0].contains(mend), "\(finding.mend)")
    }

    @Test("what the kernel lacks; an old one is a note, which is no finding for the exit status")
    func kernel() throws {
        var facts = Self.sound()
        facts.kernel.hasNFTables = false
        facts.kernel.hasPacketLog = false
        facts.kernel.release = "6.1.0-28-amd64"
        #expect(names(facts) == ["no-nftables", "no-packet-log"], "not tried")
        facts.kernel.ownsTables = false
        #expect(names(facts) == ["no-nftables", "no-packet-log", "no-owned-tables"])
        let finding = try finding("no-owned-tables", in: facts)
        #expect(finding.severity == .note && finding.what.hasSuffix(" (6.1.0-28-amd64)"))
        // A distribution may have brought them to an older kernel.
        facts.kernel.ownsTables = true
        #expect(!names(facts).contains("no-owned-tables"))
    }

    @Test("a service that is guarded and listens, and that rpcbind has forgotten")
    func orphaned() throws {
        var facts = Self.sound()
        facts.sockets += [
            BoundSocket(ServicePort(.tcp, 20049), at: .v4(0)), BoundSocket(ServicePort(.udp, 4045), at: .v4(0)),
        ]
        facts.ruleset = """
            table inet rpcwarden { # progname rpcwarden-nft
            \tset guarded {
            \t\ttypeof meta l4proto . th dport
            \t\tcomment "ports of RPC services; closed but for the sets below"
            \t\telements = { tcp . 20049,
            \t\t\t     17 . 4045, tcp . 9 }
            \t}

            \tset granted4 {
            \t\telements = { 10.0.0.1 . tcp . 2049 }
            \t}
            }
            """
        let both = try finding("orphaned-service", in: facts)
        #expect(both.what.hasSuffix(": tcp/20049, udp/4045"), "\(both.what)")
        facts.expected.guardPorts = [ServicePort(.udp, 4045)]
        facts.registrations = Self.registrations(.service(100_005, 3, port: 20049))
        #expect(!names(facts).contains("orphaned-service"))
        facts.registrations = nil
        #expect(!names(facts).contains("orphaned-service"), "what rpcbind knows isn't known")
        facts.registrations = []
        facts.ruleset =
            "table inet rpcwarden {\n\tset guarded {\n\t}\n\tset x {\n\t\telements = { tcp . 20048 }\n\t}\n}"
        #expect(!names(facts).contains("orphaned-service"))
    }

    @Test("observe mode and a container are noted")
    func notes() {
        var facts = Self.sound()
        facts.isContainer = true
        facts.expected.isObserving = true
        #expect(Examination(facts).findings.map(\.severity) == [.note, .note])
    }
}
