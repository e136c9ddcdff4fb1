import Addresses
import Firewall
import Glibc
import Testing

@testable import Netfilter

extension RoutingPlan {
    static func example(
        _ servers: [String] = ["10.91.2.2", "10.91.2.9", "fd91:2::2"], interceptsCallbacks: Bool = true
    ) -> Self {
        RoutingPlan(
            servers: servers.compactMap { IPAddress($0) }, toServers: Selection(mark: 0x20000, table: 111),
            toClients: Selection(mark: 0x40000, table: 112), interceptsCallbacks: interceptsCallbacks)
    }
}

/// The rules and routes of our tables by ip(8), without the rules that every host has.
func listedRouting() -> String {
    shell(
        """
        for family in -4 -6; do
            ip -d $family rule | grep -v -e 'lookup local' -e 'lookup main' -e 'lookup default'
            for table in 111 112; do ip -d $family route show table $table; done
        done 2> /dev/null
        """
    ).text.split(separator: "\n").map { $0.split(whereSeparator: \.isWhitespace).joined(separator: " ") }
        .joined(separator: "\n")
}

extension KernelTests {
    @Suite struct Routing {
        private static let plan = RoutingPlan.example()

        @Test("ip lists what the plan says, in both families")
        func listing() throws {
            try inFreshNamespace {
                #expect(listedRouting() == "")
                let tables = try RoutingTables()
                #expect(try tables.difference(from: Self.plan) == RoutingDifference(missing: Self.plan.parts))
                #expect(listedRouting() == "", "it only looked")
                #expect(try tables.install(Self.plan) == RoutingDifference(missing: Self.plan.parts))
                #expect(
                    listedRouting()
                        == """
                        111: from all fwmark 0x20000/0x20000 lookup 111 proto kernel
                        112: from all fwmark 0x40000/0x40000 lookup 112 proto kernel
                        local 10.91.2.2 dev lo proto kernel scope host
                        local 10.91.2.9 dev lo proto kernel scope host
                        local default dev lo proto kernel scope host
                        throw 10.91.2.2 proto kernel scope global
                        throw 10.91.2.9 proto kernel scope global
                        111: from all fwmark 0x20000/0x20000 lookup 111 proto kernel
                        112: from all fwmark 0x40000/0x40000 lookup 112 proto kernel
                        local fd91:2::2 dev lo proto kernel scope global metric 1024 pref medium
                        throw fd91:2::2 dev lo proto kernel scope global metric 1024 pref medium
                        local default dev lo proto kernel scope global metric 1024 pref medium
                        """)
                try tables.install(.example(["10.91.2.2"], interceptsCallbacks: false))
                #expect(
                    listedRouting()
                        == """
                        111: from all fwmark 0x20000/0x20000 lookup 111 proto kernel
                        local 10.91.2.2 dev lo proto kernel scope host
                        """)
            }
        }

        @Test("does nothing twice, and doesn't tell of what it did itself")
        func idempotence() throws {
            try inFreshNamespace {
                let tables = try RoutingTables()
                try tables.install(Self.plan)
                let listed = listedRouting()
                #expect(try tables.install(Self.plan).isEmpty)
                #expect(try tables.difference(from: Self.plan).isEmpty)
                #expect(listedRouting() == listed)
                #expect(!tables.readEvents(of: Self.plan))
                let other = try RoutingTables()
                #expect(try other.install(Self.plan).isEmpty)
                #expect(!tables.readEvents(of: Self.plan))
            }
        }

        @Test(
            "notices and restores what another deleted",
            arguments: [
                "ip rule del pref 111", "ip -6 rule del pref 111", "ip rule del pref 112", "ip -6 rule del pref 112",
                "ip route del local 10.91.2.2 table 111", "ip -6 route del local fd91:2::2 table 111",
                "ip route del throw 10.91.2.9 table 112", "ip -6 route flush table 112", "ip route flush table 112",
                "ip link set lo down && ip link set lo up", "ip rule flush",
            ])
        func deletion(command: String) throws {
            try inFreshNamespace {
                let tables = try RoutingTables()
                try tables.install(Self.plan)
                let listed = listedRouting()
                try run(command)
                #expect(listedRouting() != listed)
                #expect(tables.readEvents(of: Self.plan))
                #expect(try tables.difference(from: Self.plan).excess.isEmpty)
                #expect(try !tables.install(Self.plan).missing.isEmpty)
                #expect(listedRouting() == listed)
                #expect(!tables.readEvents(of: Self.plan))
            }
        }

        @Test(
            "notices and removes what another added with our marks or in our tables",
            arguments: [
                "ip route add 10.0.0.0/8 dev lo table 111", "ip route add local default dev lo table 111",
                "ip -6 route add unreachable fd92::/16 table 112", "ip -6 route add local fd91:2::3 dev lo table 111",
                "ip rule add fwmark 0x20000/0x20000 lookup 111 protocol kernel",
                "ip rule add fwmark 0x40000/0x40000 lookup 111",
                "ip -6 rule add pref 5 from fd91::/16 fwmark 0x20000/0x20000 lookup 111 protocol kernel",
                "ip rule add pref 111 iif lo fwmark 0x20000/0x20000 lookup 111 protocol kernel",
                "ip rule add not fwmark 0x20000/0x20000 lookup 111",
                "ip rule add pref 111 fwmark 0x20000/0x20000 lookup 111 protocol boot",
                "ip route add local 10.91.2.2 dev lo table 111 protocol boot metric 5",
                "ip -6 route add local fd91:2::2 dev lo table 111 protocol kernel metric 5",
            ])
        func addition(command: String) throws {
            try inFreshNamespace {
                let tables = try RoutingTables()
                try tables.install(Self.plan)
                let listed = listedRouting()
                try run(command)
                #expect(tables.readEvents(of: Self.plan))
                let difference = try tables.difference(from: Self.plan)
                #expect(difference.missing.isEmpty && difference.excess.count == 1)
                #expect(try tables.install(Self.plan) == difference)
                #expect(listedRouting() == listed)
            }
        }

        @Test("replaces a route that stands in the way")
        func replacement() throws {
            try inFreshNamespace {
                let tables = try RoutingTables()
                try run("ip route add unreachable 10.91.2.2 table 111")
                try run("ip route add throw default table 112")
                try run("ip -6 route add local fd91:2::2 dev lo table 111 protocol static")
                let difference = try tables.install(Self.plan)
                #expect(difference.excess.count == 3 && difference.missing == Self.plan.parts)
                let listed = listedRouting()
                try tables.remove(Self.plan)
                try tables.install(Self.plan)
                #expect(listedRouting() == listed)
            }
        }

        @Test(
            "a rule that only resembles ours doesn't count as ours",
            arguments: [
                "from 10.0.0.0/8 fwmark", "iif lo fwmark", "not fwmark", "ipproto udp fwmark", "dport 111 fwmark",
                "tos 4 fwmark", "suppress_prefixlength 0 fwmark",
            ])
        func conditions(condition: String) throws {
            try inFreshNamespace {
                let tables = try RoutingTables()
                try tables.install(Self.plan)
                let listed = listedRouting()
                try run("ip rule del pref 111")
                try run("ip rule add pref 111 \(condition) 0x20000/0x20000 lookup 111 protocol kernel")
                let difference = try tables.install(Self.plan)
                #expect(difference.missing == Self.plan.rules.prefix(1).map { .rule($0) })
                #expect(difference.excess.count == 1)
                #expect(listedRouting() == listed)
            }
        }

        @Test("leaves rules of other marks or tables alone, and routes of other tables, and doesn't tell of them")
        func foreign() throws {
            try inFreshNamespace {
                let tables = try RoutingTables()
                try tables.install(Self.plan)
                try run(
                    """
                    ip rule add pref 50 fwmark 0x80000/0x80000 lookup 111 && ip rule add pref 51 from 10.0.0.1 lookup 112 &&
                    ip rule add pref 52 fwmark 0x20000/0x20000 lookup 113 && ip rule add pref 53 fwmark 0x20000 lookup 111 &&
                    ip -6 rule add pref 54 fwmark 0x60000/0x60000 lookup 112 && ip rule add pref 55 goto 32766 &&
                    ip route add local 10.91.2.2 dev lo table 113 && ip route add 10.91.2.2 dev lo &&
                    ip -6 route add local default dev lo table 300 && ip -6 route add fd91:2::/64 dev lo
                    """)
                let all = "ip rule; ip -6 rule; ip route show table all; ip -6 route show table all"
                let before = shell(all).text
                #expect(!tables.readEvents(of: Self.plan))
                #expect(try tables.install(Self.plan).isEmpty)
                #expect(shell(all).text == before)
                try tables.remove(Self.plan)
                try tables.install(Self.plan)
                #expect(shell(all).text.split(separator: "\n").sorted() == before.split(separator: "\n").sorted())
            }
        }

        @Test("another list of servers changes the difference only")
        func otherServers() throws {
            try inFreshNamespace {
                let tables = try RoutingTables()
                try tables.install(Self.plan)
                let next = RoutingPlan.example(["10.91.2.2", "10.91.2.10", "fd91:2::2"])
                let difference = try tables.install(next)
                #expect(
                    difference.missing.map { "\($0)" } == [
                        "IPv4 route local 10.91.2.10 of table 111", "IPv4 route throw 10.91.2.10 of table 112",
                    ])
                #expect(
                    difference.excess.map { "\($0)" } == [
                        "IPv4 route local 10.91.2.9 of table 111", "IPv4 route throw 10.91.2.9 of table 112",
                    ])
                #expect(try tables.difference(from: next).isEmpty)
                // The last server of IPv6, and callbacks.
                let last = RoutingPlan.example(["10.91.2.2", "10.91.2.10"], interceptsCallbacks: false)
                #expect(try tables.install(last).missing.isEmpty)
                #expect(!listedRouting().contains("112") && !listedRouting().contains("fd91"))
            }
        }

        @Test("removal leaves nothing, nor what others put there")
        func removal() throws {
            try inFreshNamespace {
                let tables = try RoutingTables()
                try tables.install(Self.plan)
                try run("ip route add 10.0.0.0/8 dev lo table 111")
                #expect(try tables.remove(Self.plan).excess.count == Self.plan.parts.count + 1)
                #expect(listedRouting() == "")
                #expect(try tables.remove(Self.plan).isEmpty)
            }
        }
    }
}

/// Runs the command, which must succeed.
func run(_ command: String) throws {
    let result = shell(command)
    try #require(result.status == 0, "\(command): \(result.text)")
}
