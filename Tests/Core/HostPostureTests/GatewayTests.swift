import Addresses
import Firewall
import Testing

@testable import HostPosture

@Suite("findings about a gateway") struct GatewayTests {
    private static let server = IPAddress.v4(0x0a5b_0202)

    /// A gateway without a local rpcbind and without findings, in front of 10.91.2.2.
    static func sound() -> HostFacts {
        var facts = HostFacts()
        facts.family = .debian
        facts.package = .absent
        for unit in SetupFiles.units { facts.units[unit] = UnitState(enablement: "enabled", activity: "active") }
        facts.sockets = [BoundSocket(ServicePort(.tcp, 111), at: .v4(0), holders: ["rpcwarden"])]
        facts.kernel = ExaminationTests.sound().kernel
        facts.ruleset = ""
        facts.expected.gateway = expected
        facts.gateway = GatewayFacts()
        facts.gateway?.forwards = [.ipv4: true, .ipv6: false]
        facts.gateway?.isTransparent = true
        facts.gateway?.routing = listing()
        facts.gateway?.servers = [GatewayFacts.Server("filer1", rpcbind: "up")]
        return facts
    }

    static var expected: GatewayExpectations {
        var expected = GatewayExpectations(
            [GatewayExpectations.Server("filer1", [server])],
            RoutingPlan(
                servers: [server], toServers: .init(mark: 0x20000, table: 111),
                toClients: .init(mark: 0x40000, table: 112), interceptsCallbacks: true))
        expected.servesThisHost = false
        return expected
    }

    /// As iproute2 6.1 prints it.
    private static func listing(
        rules: String = """
        0:\tfrom all lookup 255 proto 2
        111:\tfrom all fwmark 0x20000/0x20000 lookup 111 proto 2
        112:\tfrom all fwmark 0x40000/0x40000 lookup 112 proto 2
        32766:\tfrom all lookup 254 proto 2
        """, toServers: String = "local 10.91.2.2 dev lo proto kernel scope host \n",
        toClients: String =
            "local default dev lo proto kernel scope host \nthrow 10.91.2.2 proto kernel scope global \n"
    ) -> RoutingListing {
        var listing = RoutingListing()
        listing.add(rules: rules, .ipv4)
        listing.add(routes: toServers, .ipv4, table: 111)
        listing.add(routes: toClients, .ipv4, table: 112)
        return listing
    }

    private func findings(_ change: (inout HostFacts) -> Void) -> [Finding] {
        var facts = Self.sound()
        change(&facts)
        return Examination(facts).findings
    }

    private func only(_ name: String, _ severity: Finding.Severity, _ change: (inout HostFacts) -> Void) throws
        -> Finding
    {
        let found = findings(change)
        #expect(found.map(\.finding) == [name])
        #expect(found.first?.severity == severity)
        return try #require(found.first)
    }

    @Test("a gateway without an rpcbind of its own has none")
    func sound() { #expect(findings { _ in } == []) }

    @Test("without `gateway` in the configuration, nothing of it is looked at")
    func noGateway() {
        let found = findings {
            $0.expected.gateway = nil
            $0.gateway?.forwards = [.ipv4: false]
        }
        #expect(found == [])
    }

    @Test(
        "an rpcbind is missed only if rules are about this host, and one that nothing needs is turned off without rpcwarden"
    )
    func rpcbind() throws {
        let missing = try only("rpcbind-missing", .low) { $0.expected.gateway?.servesThisHost = true }
        #expect(missing.mend.last == "rpcwarden setup")
        var facts = Self.sound()
        facts.registrations = ExaminationTests.registrations(.service(100_003, 4))
        facts.units["rpcbind.socket"] = UnitState(enablement: "enabled", activity: "active")
        facts.serviceUnit = ServiceUnit([SetupFiles.serviceDropInText])
        facts.socketUnit = SocketUnit([SetupFiles.socketDropInText([SetupFiles.rpcbindSocket])])
        let unneeded = try #require(Examination(facts).findings.first { $0.finding == "nfsv4-only" })
        #expect(!unneeded.mend.contains("rpcwarden setup --undo") && !unneeded.why.contains("nor rpcwarden"))
    }

    @Test("an rpcbind that is installed, and turned off, may have its network")
    func disabledRpcbind() {
        func found(_ enablement: String) -> [String] {
            findings {
                $0.socketUnit = SocketUnit([FakeHost.socketUnit])
                $0.units["rpcbind.socket"] = UnitState(enablement: enablement, activity: "inactive")
            }.map(\.finding)
        }
        #expect(found("disabled") == [])
        #expect(found("enabled").contains("rpcbind-has-network"))
    }

    @Test("a gateway that doesn't run guards with what is left in the kernel")
    func notRunning() throws {
        let finding = try only("gateway-not-running", .high) {
            $0.units = [:]
            $0.sockets = []
        }
        #expect(finding.mend == ["rpcwarden check", "rpcwarden setup --gateway"])
    }

    @Test("forwarding is needed for the families of the servers alone")
    func forwarding() throws {
        let finding = try only("forwarding-off", .high) { $0.gateway?.forwards = [.ipv4: false, .ipv6: false] }
        #expect(finding.what.contains("net.ipv4.ip_forward is 0"))
        #expect(finding.mend.first == "sysctl -w net.ipv4.ip_forward=1")
        #expect(findings { $0.gateway?.forwards = [:] } == [], "unknown")
    }

    @Test("sockets of systemd are to be transparent before the daemon starts")
    func transparent() throws {
        let finding = try only("not-transparent", .low) { $0.gateway?.isTransparent = false }
        #expect(finding.mend.last == "rpcwarden setup --gateway")
        #expect(findings { $0.gateway?.isTransparent = nil } == [], "a daemon with sockets of its own")
    }

    @Test("bridged packets that pass the hooks")
    func bridges() throws {
        let finding = try only("bridged-packets", .low) { $0.gateway?.bridgesCallHooks = [.ipv4, .ipv6] }
        #expect(finding.mend.last == "sysctl -w net.bridge.bridge-nf-call-iptables=0")
    }

    // MARK: Routing

    @Test(
        "with `routing: check`, each missing rule and route is told with the command that adds it",
        arguments: [
            (
                listing(rules: ""),
                [
                    "ip rule add pref 111 fwmark 0x20000/0x20000 lookup 111 protocol kernel",
                    "ip rule add pref 112 fwmark 0x40000/0x40000 lookup 112 protocol kernel",
                ]
            ),
            (listing(toServers: ""), ["ip route add local 10.91.2.2 dev lo table 111 protocol kernel"]),
            (
                listing(toServers: "local 10.91.2.3 dev lo proto static scope host"),
                [
                    "ip route add local 10.91.2.2 dev lo table 111 protocol kernel"
                ]
            ),
            (
                listing(toClients: "local default dev lo proto kernel scope host"),
                [
                    "ip route add throw 10.91.2.2 table 112 protocol kernel"
                ]
            ),
        ])
    func missing(listing: RoutingListing, commands: [String]) throws {
        let finding = try only("routing-missing", .high) {
            $0.expected.gateway?.managesRouting = false
            $0.gateway?.routing = listing
        }
        #expect(Array(finding.mend.dropLast()) == commands)
        let managed = try only("routing-missing", .high) { $0.gateway?.routing = listing }
        #expect(managed.mend.last == "systemctl restart rpcwarden.service")
    }

    @Test(
        "an administrator's rules and routes that do the same are none of the missing",
        arguments: [
            listing(
                rules:
                    "500: from all fwmark 0x20000/0x20000 lookup 111\n501: from all fwmark 0x40000/0x40000 lookup 112"),
            listing(toServers: "local 10.91.2.0/24 dev lo proto static scope host"),
        ])
    func same(listing: RoutingListing) {
        let found = findings {
            $0.expected.gateway?.managesRouting = false
            $0.gateway?.routing = listing
        }
        #expect(found == [])
    }

    @Test(
        "a rule that comes too late, or that has another condition, doesn't do the work",
        arguments: [
            "40000: from all fwmark 0x20000/0x20000 lookup 111 proto 2",
            "111: from all fwmark 0x20000/0x20000 iif eth0 lookup 111 proto 2",
            "111: not from all fwmark 0x20000/0x20000 lookup 111 proto 2",
            "111: from 10.0.0.0/8 fwmark 0x20000/0x20000 lookup 111 proto 2",
        ])
    func useless(rule: String) {
        let rules = "\(rule)\n112: from all fwmark 0x40000/0x40000 lookup 112 proto 2"
        let found = findings {
            $0.expected.gateway?.managesRouting = false
            $0.gateway?.routing = Self.listing(rules: rules)
        }
        #expect(found.first?.finding == "routing-missing" && found.first?.mend.count == 2)
    }

    @Test(
        "other rules with our tables or marks",
        arguments: [
            ("300:\tfrom all lookup 112 proto 3", true), ("90:\tfrom all fwmark 0x60000/0x60000 lookup 200", true),
            ("90:\tfrom all fwmark 0x20000 lookup 254", true),
            ("90:\tfrom all fwmark 0xff0000/0xff0000 lookup 52", false),
            ("32765:\tnot from all fwmark 0xca6c lookup 51820", false),
            ("1000:\tfrom all lookup [l3mdev-table]", false),
            ("90:\tfrom all fwmark 0/0x20000 lookup 200", false),
        ])
    func foreign(rule: String, isShared: Bool) throws {
        let ours = "111: from all fwmark 0x20000/0x20000 lookup 111\n112: from all fwmark 0x40000/0x40000 lookup 112\n"
        let found = findings { $0.gateway?.routing = Self.listing(rules: ours + rule) }
        #expect(found.map(\.finding) == (isShared ? ["routing-shared"] : []))
        if isShared { #expect(found[0].what.contains("IPv4 rule \(rule.split(separator: "\t")[0])")) }
    }

    @Test("a local default route breaks interception where sources are validated strictly, with the packet's mark")
    func strictFilter() throws {
        let listing = Self.listing(toServers: "local default dev lo proto kernel scope host")
        let finding = try only("strict-rp-filter", .high) {
            $0.expected.gateway?.managesRouting = false
            $0.gateway?.routing = listing
            $0.gateway?.strictInterfaces = ["eth0"]
        }
        #expect(finding.what.contains("eth0"))
        #expect(
            finding.mend == [
                "ip route add local 10.91.2.2 dev lo table 111 protocol kernel",
                "ip route del local default dev lo table 111",
            ])
        let lax = findings {
            $0.expected.gateway?.managesRouting = false
            $0.gateway?.routing = listing
        }
        #expect(lax == [])
        #expect(findings { $0.gateway?.strictInterfaces = ["eth0"] } == [], "our own tables work there")
    }

    @Test("another table that sets the bits of the gateway's routing rules is told, with the key to change")
    func marks() throws {
        let table = "table ip mangle {\n\tchain PREROUTING {\n\t\tmeta mark set meta mark | 0x00040000\n\t}\n}\n"
        let finding = try only("mark-bit-shared", .medium) { $0.ruleset = table }
        #expect(finding.what.contains("0x40000") && finding.mend[0].contains("gateway: {marks"))
        var host = Self.sound()
        host.expected.gateway = nil
        host.ruleset = table
        #expect(Examination(host).findings == [])
    }

    // MARK: Servers

    @Test(
        "what the daemon says of the servers' portmappers",
        arguments: [
            ("never", "server-never-read", Finding.Severity.high), ("down", "server-unreachable", .medium),
            ("stale", "server-stale", .medium),
        ])
    func server(state: String, name: String, severity: Finding.Severity) throws {
        let finding = try only(name, severity) { $0.gateway?.servers[0].rpcbind = state }
        #expect(finding.what.contains("filer1") && finding.mend.last == "rpcinfo -p 10.91.2.2")
        #expect(findings { $0.gateway?.servers[0].rpcbind = "new word" } == [])
    }

    // MARK: Rules beside ours

    private static func table(_ rules: String, hook: String = "forward", policy: String = "drop") -> String {
        """
        table inet filter {
        \tflowtable f {
        \t\thook ingress priority filter
        \t}
        \tchain forward {
        \t\ttype filter hook \(hook) priority filter; policy \(policy);
        \t\t\(rules)
        \t}
        }

        """
    }

    @Test("a chain that drops forwarded packets is to accept our mark, and the replies of the servers")
    func dropsForwarded() throws {
        let finding = try only("other-table-drops-forwarded", .medium) {
            $0.ruleset = Self.table("tcp dport 22 accept")
        }
        #expect(
            finding.mend.prefix(2) == [
                "nft insert rule inet filter forward meta mark and 0x2000 != 0 accept",
                "nft insert rule inet filter forward ct state established,related accept",
            ])
        let established = try only("other-table-drops-forwarded", .medium) {
            $0.ruleset = Self.table("ct state vmap { established : accept, related : accept }")
        }
        #expect(established.mend.count == 2)
        #expect(findings { $0.ruleset = Self.table("meta mark & 0x00002000 != 0x00000000 accept") } == [])
        #expect(findings { $0.ruleset = Self.table("", policy: "accept") } == [])
        let iptables = Self.table("").replacing("inet filter", with: "ip filter").replacing(
            "chain forward", with: "chain FORWARD")
        #expect(
            try only("other-table-drops-forwarded", .medium) { $0.ruleset = iptables }.mend.first
                == "iptables -I FORWARD -m mark --mark 0x2000/0x2000 -j ACCEPT")
        var host = Self.sound()
        host.expected.gateway = nil
        host.ruleset = Self.table("")
        #expect(Examination(host).findings == [], "a host that forwards nothing of ours")
    }

    @Test(
        "flowtables and rules without tracking concern the servers that they may meet",
        arguments: [
            ("flow add @f", "flowtable"), ("ip protocol tcp flow offload @f", "flowtable"),
            ("ip daddr 10.91.0.0/16 flow add @f", "flowtable"), ("ip daddr 10.92.0.0/16 flow add @f", nil),
            ("ip daddr != { 10.91.2.2, 10.91.2.3 } ip saddr != { 10.91.2.2 } flow add @f", nil),
            ("udp dport 2049 notrack", "server-untracked"), ("ip saddr 10.91.2.2 counter notrack", "server-untracked"),
            ("ip saddr { 10.0.0.1, 10.91.2.3 } notrack", nil), ("iifname \"lo\" notrack", nil),
        ] as [(String, String?)])
    func beside(rule: String, name: String?) {
        #expect(findings { $0.ruleset = Self.table(rule, policy: "accept") }.map(\.finding) == [name].compactMap { $0 })
    }

    @Test("our own table's notrack is no finding")
    func ownTable() {
        let own = Self.table("notrack", hook: "prerouting", policy: "accept").replacing("filter {", with: "rpcwarden {")
        #expect(findings { $0.ruleset = own } == [])
    }
}

extension FakeHostTests {
    @Suite("a gateway's facts on fake hosts") struct GatewaySurveyTests {
        private func survey(_ host: FakeHost) -> HostFacts {
            var survey = host.survey()
            survey.expected.gateway = GatewayTests.expected
            return survey.facts()
        }

        @Test("the kernel's switches, ip's rules and routes, and the socket unit")
        func facts() throws {
            let host = try FakeHost.stock()
            for (key, value) in [
                ("ipv4/ip_forward", "0"), ("ipv6/conf/all/forwarding", "1"), ("bridge/bridge-nf-call-iptables", "1"),
                ("bridge/bridge-nf-call-ip6tables", "0"), ("ipv4/conf/all/rp_filter", "0"),
                ("ipv4/conf/all/src_valid_mark", "1"), ("ipv4/conf/eth0/rp_filter", "1"),
                ("ipv4/conf/eth1/rp_filter", "2"), ("ipv4/conf/lo/rp_filter", "1"),
                ("ipv4/conf/default/rp_filter", "1"),
            ] {
                try host.write("/proc/sys/net/\(key)", value + "\n")
            }
            try host.stub(
                "ip",
                """
                case "$*" in
                *-4*rule*) echo '111:	from all fwmark 0x20000/0x20000 lookup 111 proto 2' ;;
                *-6*rule*) exit 1 ;;
                *-4*111) echo 'local 10.91.2.2 dev lo proto kernel scope host' ;;
                *) echo 'Error: ipv4: FIB table does not exist.' >&2; exit 2 ;;
                esac
                """)
            try host.put("\(host.state)/transparent", "no")
            let facts = try #require(survey(host).gateway)
            #expect(facts.forwards == [.ipv4: false, .ipv6: true] && facts.bridgesCallHooks == [.ipv4])
            #expect(facts.strictInterfaces == ["eth0"] && facts.isTransparent == false)
            let missing = try #require(facts.routing?.missing(from: GatewayTests.expected.plan))
            #expect(missing.count == 3 && missing.contains { "\($0)".contains("0x40000") })
            try host.put("\(host.state)/transparent", "yes")
            #expect(survey(host).gateway?.isTransparent == true)
        }

        @Test("without ip, and without the kernel's files, nothing is known")
        func unknown() throws {
            let host = try FakeHost()
            let facts = try #require(survey(host).gateway)
            #expect(facts == GatewayFacts())
            #expect(host.survey().facts().gateway == nil, "no gateway in the configuration")
        }
    }
}
