import Addresses
import Configuration
import Firewall
import Glibc
import Privilege
import Testing

@testable import Daemon
@testable import Netfilter
@testable import Sandbox

extension KernelTests {
    /// The netfilter process keeps the rules and routes of a gateway.
    @Suite struct RoutingProcess {
        private typealias Files = NetfilterProcessTests.Files

        private static func gateway(_ others: String = "") -> String {
            "gateway: {servers: [{name: filer1, address: [10.91.2.2, 10.91.2.9, \"fd91:2::2\"]}]\(others)}"
        }

        /// Rules and routes as the process makes them.
        private static let listed: String = {
            let listed = try? inFreshNamespace {
                try RoutingTables().install(.example())
                return listedRouting()
            }
            return listed ?? "none"
        }()

        private func withProcess(
            _ settings: String = gateway(), _ body: (NetfilterClient, Files) throws -> Void
        ) throws {
            let files = try Files(settings)
            try NetfilterProcessTests().withProcess(files, isConfined: true) { client, _ in try body(client, files) }
        }

        private static func deletion(_ table: String) -> Transaction {
            Transaction(table: table, operations: [.deleteTable(name: table)])
        }

        private func makeTable(_ client: NetfilterClient, _ files: Files) -> CommitFailure? {
            let shape = files.load().settings.fitted(to: client.features).tableShape
            return client.commit(Transaction(table: "rpcwarden", operations: [.makeTable(shape)]))
        }

        @Test("rules and routes are there before it is ready, and stay when it ends")
        func atStart() throws {
            try inFreshNamespace {
                let files = try Files(Self.gateway())
                let ends = try Channel.pair(messageBytesMax: MessageLimits.messageBytesMax, waitMax: .seconds(10))
                let thread = NetfilterProcessTests.Running.start(ends.second, files, isConfined: true)
                let client = try NetfilterClient(ends.first)
                #expect(listedRouting() == Self.listed)
                #expect(client.readEvents()?.routing.isEmpty == true)
                client.close()
                pthread_join(thread, nil)
                #expect(listedRouting() == Self.listed)
            }
        }

        @Test(
            "without a gateway, or with routing: check, nothing is touched",
            arguments: ["", gateway(", routing: check")])
        func untouched(settings: String) throws {
            try withProcess(settings) { client, files in
                #expect(listedRouting() == "")
                try run(
                    "ip rule add pref 111 fwmark 0x20000/0x20000 lookup 111 && ip route add 10.0.0.0/8 dev lo table 111"
                )
                let before = listedRouting()
                #expect(makeTable(client, files) == nil)
                #expect(client.readEvents()?.routing.isEmpty == true)
                #expect(client.commit(Self.deletion("rpcwarden")) == nil)
                #expect(listedRouting() == before)
            }
        }

        @Test(
            "what another process removes is restored at the next look, and told of once",
            arguments: [
                (
                    "ip rule del pref 111",
                    "routing: IPv4 rule 111: fwmark 0x20000/0x20000 lookup 111 removed by another process; restored"
                ),
                (
                    "ip -6 route del local fd91:2::2 table 111",
                    "routing: IPv6 route local fd91:2::2 of table 111 removed by another process; restored"
                ),
                (
                    "ip route add 10.0.0.0/8 dev lo table 112",
                    "routing: IPv4 route 10.0.0.0/8 of table 112, type 1, protocol 3, metric 0 added by another process;"
                        + " removed"
                ),
            ])
        func restores(command: String, change: String) throws {
            try withProcess { client, _ in
                try run(command)
                #expect(listedRouting() != Self.listed)
                #expect(client.readEvents()?.routing == RoutingRepair(changes: [change]))
                #expect(listedRouting() == Self.listed)
                #expect(client.readEvents()?.routing.isEmpty == true)
            }
        }

        @Test("what can't be restored is told of once, and tried until it can")
        func triesAgain() throws {
            try withProcess { client, _ in
                try run("sysctl -qw net.ipv6.conf.lo.disable_ipv6=1")
                let failed = try #require(client.readEvents()).routing
                #expect(
                    failed.failure?.hasPrefix("routing: adding the IPv6 route local fd91:2::2 of table 111: ") == true)
                #expect(client.readEvents()?.routing.isEmpty == true)
                try run("sysctl -qw net.ipv6.conf.lo.disable_ipv6=0")
                let repaired = try #require(client.readEvents()).routing
                #expect(repaired.failure == nil && repaired.changes.count == 1)
                #expect(listedRouting() == Self.listed)
            }
        }

        @Test("they go with a table that is deleted on purpose, and come back with it")
        func deletedTable() throws {
            try withProcess { client, files in
                #expect(makeTable(client, files) == nil)
                #expect(listedRouting() == Self.listed)
                #expect(client.commit(Self.deletion("other")) != nil)
                #expect(listedRouting() == Self.listed, "it was refused")
                #expect(client.commit(Self.deletion("rpcwarden")) == nil)
                #expect(listedRouting() == "")
                #expect(client.readEvents()?.routing.isEmpty == true)
                #expect(listedRouting() == "", "its own work is nothing to restore")
                #expect(makeTable(client, files) == nil)
                #expect(listedRouting() == Self.listed)
            }
        }

        @Test("a start that can't make them fails, and says what to do")
        func failingStart() throws {
            try inFreshNamespace {
                try run("sysctl -qw net.ipv6.conf.lo.disable_ipv6=1")
                let files = try Files(Self.gateway())
                let ends = try Channel.pair(messageBytesMax: MessageLimits.messageBytesMax, waitMax: .seconds(10))
                defer { for channel in [ends.first, ends.second] { channel.close() } }
                let error = #expect(throws: RoutingKeeper.Failure.self) {
                    try NetfilterProcess(files.load(), configuration: files.configuration, ends.second)
                }
                #expect(
                    error?.description.hasPrefix("gateway: adding the IPv6 route local fd91:2::2 of table 111: ")
                        == true)
                #expect(error?.description.contains("routing: check") == true)
            }
        }

        @Test("another plan replaces the old one, in the same tables or in others, and none removes it")
        func changes() throws {
            try inFreshNamespace {
                let keeper = try RoutingKeeper()
                try keeper.planChanged(to: .example())
                try keeper.planChanged(to: .example(["10.91.2.2"], interceptsCallbacks: false))
                #expect(
                    listedRouting()
                        == """
                        111: from all fwmark 0x20000/0x20000 lookup 111 proto kernel
                        local 10.91.2.2 dev lo proto kernel scope host
                        """)
                // Table 112 was for callbacks, and 111 is nobody's now.
                let moved = RoutingPlan(
                    servers: [.v4(0x0a5b_0202)], toServers: .init(mark: 0x80000, table: 112),
                    toClients: .init(mark: 0x10_0000, table: 113), interceptsCallbacks: false)
                try keeper.planChanged(to: moved)
                #expect(
                    listedRouting()
                        == """
                        111: from all fwmark 0x80000/0x80000 lookup 112 proto kernel
                        local 10.91.2.2 dev lo proto kernel scope host
                        """)
                try run("ip rule del pref 111")
                #expect(keeper.look().changes.count == 1)
                try keeper.planChanged(to: nil)
                #expect(listedRouting() == "")
                try run("ip rule add pref 111 fwmark 0x80000/0x80000 lookup 112")
                #expect(keeper.look().isEmpty, "nobody's any more")
            }
        }

        @Test("after a plan that the kernel refuses the old one is in force")
        func refused() throws {
            try inFreshNamespace {
                let keeper = try RoutingKeeper()
                let old = RoutingPlan.example(["10.91.2.2"], interceptsCallbacks: false)
                try keeper.planChanged(to: old)
                let listed = listedRouting()
                try run("sysctl -qw net.ipv6.conf.lo.disable_ipv6=1")
                let moved = RoutingPlan(
                    servers: [.v4(0x0a5b_0203), .v6(9)], toServers: .init(mark: 0x80000, table: 112),
                    toClients: .init(mark: 0x10_0000, table: 113), interceptsCallbacks: false)
                #expect(throws: RoutingKeeper.Failure.self) { try keeper.planChanged(to: .example()) }
                #expect(listedRouting() == listed)
                #expect(throws: RoutingKeeper.Failure.self) { try keeper.planChanged(to: moved) }
                #expect(listedRouting() == listed)
                #expect(keeper.plan == old && keeper.look().isEmpty)
            }
        }

        @Test("after the guard was taken away on purpose, no configuration brings rules and routes back")
        func staysOpen() throws {
            try inFreshNamespace {
                let keeper = try RoutingKeeper()
                try keeper.planChanged(to: .example())
                keeper.committed(Self.deletion("rpcwarden"), .example())
                try keeper.planChanged(to: .example(["10.91.2.2"]))
                #expect(listedRouting() == "")
            }
        }
    }
}
