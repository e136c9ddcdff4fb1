import Addresses
import Firewall
import Testing

@Suite("routing plan") struct RoutingPlanTests {
    private static func plan(_ servers: [String], interceptsCallbacks: Bool = true) -> RoutingPlan {
        RoutingPlan(
            servers: servers.compactMap { IPAddress($0) }, toServers: .init(mark: 0x20000, table: 111),
            toClients: .init(mark: 0x40000, table: 112), interceptsCallbacks: interceptsCallbacks)
    }

    private static func texts(_ plan: RoutingPlan) -> [String] { plan.parts.map { "\($0)" } }

    @Test("wants nothing without servers, of neither family")
    func noServers() {
        #expect(Self.plan([]).parts.isEmpty)
        #expect(Self.plan(["10.91.2.2", "fd91:2::2"]).withoutServers.parts.isEmpty)
    }

    @Test("wants each server's addresses and nothing else to be local, in one family or in both")
    func serversAlone() {
        #expect(
            Self.texts(Self.plan(["10.91.2.9", "10.91.2.2", "10.91.2.9"], interceptsCallbacks: false)) == [
                "IPv4 route local 10.91.2.2 of table 111", "IPv4 route local 10.91.2.9 of table 111",
                "IPv4 rule 111: fwmark 0x20000/0x20000 lookup 111",
            ])
        #expect(
            Self.texts(Self.plan(["fd91:2::2", "10.91.2.2"], interceptsCallbacks: false)) == [
                "IPv4 route local 10.91.2.2 of table 111", "IPv6 route local fd91:2::2 of table 111",
                "IPv4 rule 111: fwmark 0x20000/0x20000 lookup 111", "IPv6 rule 111: fwmark 0x20000/0x20000 lookup 111",
            ])
    }

    @Test("for callbacks everything but the servers is local, and the exceptions come before")
    func callbacks() {
        #expect(
            Self.texts(Self.plan(["fd91:2::2", "fd91:2::3"])) == [
                "IPv6 route local fd91:2::2 of table 111", "IPv6 route local fd91:2::3 of table 111",
                "IPv6 route throw fd91:2::2 of table 112", "IPv6 route throw fd91:2::3 of table 112",
                "IPv6 route local default of table 112",
                "IPv6 rule 111: fwmark 0x20000/0x20000 lookup 111", "IPv6 rule 112: fwmark 0x40000/0x40000 lookup 112",
            ])
    }

    @Test("owns rules of its marks and tables only")
    func ownership() {
        let plan = Self.plan(["10.91.2.2"], interceptsCallbacks: false)
        #expect(!plan.owns(mark: 0x20000, mask: 0x20000, table: 254))
        #expect(!plan.owns(mark: 0x20000, mask: 0xffff_ffff, table: 111))
        #expect(!plan.owns(mark: 0x80000, mask: 0x80000, table: 111))
        #expect(!plan.owns(mark: 0, mask: 0, table: 111))
        #expect(!plan.owns(mark: 0x60000, mask: 0x60000, table: 111))
        #expect(plan.owns(mark: 0x20000, mask: 0x20000, table: 111))
        #expect(plan.owns(mark: 0x40000, mask: 0x40000, table: 112))
        #expect(
            plan.withoutServers.owns(mark: 0x20000, mask: 0x20000, table: 112), "the wrong one of two that are ours")
    }
}
