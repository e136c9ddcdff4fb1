import Addresses
import Firewall
import Glibc
import Testing

@testable import Netfilter

extension KernelTests {
    @Suite struct RoutingLimits {
        private static let plan = RoutingPlan.example()

        @Test("a kernel without IPv6 has the IPv4 part of a plan, and isn't asked for the other")
        func noIPv6() throws {
            try inFreshNamespace {
                // AF_DECnet: Linux has had no such family since 6.1, and answers as a kernel without IPv6 does.
                let tables = try RoutingTables(numbers: FamilyNumbers(ipv6: 12), receiveBufferBytes: 1 << 20)
                let difference = try tables.install(Self.plan)
                #expect(difference.missing.count == 7 && difference.excess.isEmpty)
                #expect(!"\(difference)".contains("IPv6"))
                #expect(try tables.difference(from: Self.plan).isEmpty)
                #expect(!listedRouting().contains("fd91"))
                try tables.remove(Self.plan)
                #expect(listedRouting() == "")
            }
        }

        @Test("where IPv6 is turned off, the error names the route, and IPv4 has its routes all the same")
        func disabledIPv6() throws {
            try inFreshNamespace {
                try run("sysctl -qw net.ipv6.conf.lo.disable_ipv6=1")
                let tables = try RoutingTables()
                let error = #expect(throws: NetfilterError.self) { try tables.install(Self.plan) }
                #expect(error?.description.hasPrefix("adding the IPv6 route local fd91:2::2 of table 111: ") == true)
                let missing = try tables.difference(from: Self.plan).missing
                #expect(!missing.isEmpty && !"\(missing)".contains("IPv4"))
                try run("sysctl -qw net.ipv6.conf.lo.disable_ipv6=0")
                try tables.install(Self.plan)
                #expect(try tables.difference(from: Self.plan).isEmpty)
            }
        }

        @Test("without CAP_NET_ADMIN it looks, and an error says what was refused")
        func permission() throws {
            try inFreshNamespace {
                let tables = try RoutingTables()
                withoutNetAdmin {
                    let error = #expect(throws: NetfilterError.self) { try tables.install(Self.plan) }
                    #expect(
                        error?.description
                            == "adding the IPv4 route local 10.91.2.2 of table 111: Operation not permitted")
                }
                try tables.install(Self.plan)
                withoutNetAdmin {
                    #expect(throws: Never.self) { try tables.install(Self.plan) }
                    let error = #expect(throws: NetfilterError.self) { try tables.remove(Self.plan) }
                    #expect(error?.description.hasPrefix("removing the IPv4 rule 111: ") == true)
                }
            }
        }

        @Test("an overrun counts as a change, once")
        func overrun() throws {
            try inFreshNamespace {
                let tables = try RoutingTables(numbers: FamilyNumbers(), receiveBufferBytes: 1 << 12)
                try tables.install(Self.plan)
                _ = tables.readEvents(of: Self.plan)
                try run("seq 1 250 | sed 's/.*/route add 10.1.1.& dev lo table 300/' | ip -batch -")
                #expect(tables.readEvents(of: Self.plan))
                #expect(!tables.readEvents(of: Self.plan))
                try run("ip route add 10.1.2.1 dev lo table 300")
                #expect(!tables.readEvents(of: Self.plan))
                try run("ip rule del pref 111")
                #expect(tables.readEvents(of: Self.plan))
            }
        }

        @Test("removes more routes than it holds in memory, and finds its own among other tables' routes")
        func manyRoutes() throws {
            try inFreshNamespace {
                let tables = try RoutingTables()
                for table in [112, 300] {
                    try run(
                        """
                        for i in $(seq 0 39); do seq 1 250 | sed "s/.*/route add 10.1.$i.& dev lo table \(table)/"; done |
                        ip -batch -
                        """)
                }
                #expect(tables.readEvents(of: Self.plan))
                try tables.install(Self.plan)
                #expect(try tables.difference(from: Self.plan).isEmpty)
                #expect(shell("ip route show table 300 | wc -l").text == "10000\n")
            }
        }

        @Test("is readable when something changed, and not before")
        func isReadable() throws {
            try inFreshNamespace {
                let tables = try RoutingTables()
                var poll = pollfd(fd: tables.watch.descriptor, events: Int16(POLLIN), revents: 0)
                #expect(Glibc.poll(&poll, 1, 0) == 0)
                try run("ip rule add fwmark 0x20000/0x20000 lookup 111")
                #expect(Glibc.poll(&poll, 1, 10_000) == 1)
            }
        }
    }
}
