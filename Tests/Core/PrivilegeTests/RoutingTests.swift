import Addresses
import Configuration
import Firewall
import Testing

@Suite("rules and routes of a gateway") struct RoutingTests {
    private static func gateway(_ callbacks: Settings.Server.Callbacks...) throws -> Settings.Gateway {
        var gateway = Settings.Gateway()
        gateway.servers = try callbacks.enumerated().map { index, callbacks in
            var server = Settings.Server()
            server.addresses = [try address("10.91.2.\(index + 2)"), try address("fd91:2::\(index + 2)")]
            server.aliases = [try address("203.0.113.\(index + 2)")]
            server.callbacks = callbacks
            return server
        }
        return gateway
    }

    @Test("the plan has every address by which clients know a server, and the marks and tables of the settings")
    func plan() throws {
        var gateway = try Self.gateway(.off, .off)
        (gateway.tables, gateway.marks) = ([121, 122], [0x10_0000, 0x20_0000])
        let plan = gateway.routingPlan
        #expect(
            plan.servers.sorted().map(\.description)
                == ["10.91.2.2", "10.91.2.3", "203.0.113.2", "203.0.113.3", "fd91:2::2", "fd91:2::3"])
        #expect(plan.toServers == .init(mark: 0x10_0000, table: 121))
        #expect(plan.toClients == .init(mark: 0x20_0000, table: 122))
        #expect(!plan.interceptsCallbacks)
    }

    @Test("one server with callbacks is enough to intercept them")
    func callbacks() throws {
        #expect(try Self.gateway(.off, .auto).routingPlan.interceptsCallbacks)
        #expect(try Self.gateway(.auto).routingPlan.interceptsCallbacks)
    }

    @Test("with routing: check nothing is made")
    func check() throws {
        var gateway = try Self.gateway(.auto)
        #expect(gateway.managedRouting == gateway.routingPlan)
        gateway.routing = .check
        #expect(gateway.managedRouting == nil)
    }

    @Test("what others changed is told in a line each, the first parts by name")
    func repair() throws {
        let parts = try Self.gateway(.off, .off).routingPlan.parts
        #expect(RoutingRepair(RoutingDifference()).isEmpty)
        #expect(
            RoutingRepair(RoutingDifference(missing: Array(parts.suffix(2)))).changes == [
                "routing: IPv4 rule 111: fwmark 0x20000/0x20000 lookup 111, IPv6 rule 111: fwmark 0x20000/0x20000 lookup"
                    + " 111 removed by another process; restored"
            ])
        let all = RoutingRepair(RoutingDifference(missing: [parts[0]], excess: parts))
        #expect(all.changes.count == 2 && all.failure == nil && !all.isEmpty)
        #expect(all.changes[0].hasPrefix("routing: IPv4 route local 10.91.2.2 of table 111 removed"))
        #expect(
            all.changes[1].hasSuffix(
                "IPv4 route local 203.0.113.3 of table 111 and 4 more added by another process; removed"))
    }
}
