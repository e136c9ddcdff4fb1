import CoreSamples
import Firewall
import Policy
import Portmapper
import Testing

@Suite("registrations over RDMA") struct UnguardableTests {
    @Test("are told of once, and shown as what no packet filter sees")
    func rdma() {
        let bench = Bench()
        let rdma = RPCB(program: .nfs, version: 4, netID: "rdma", address: "0.0.0.0.78.81", owner: "superuser")
        bench.rpcbind.registrations = .typical + [rdma]
        bench.start()
        bench.refresh()
        #expect(bench.events(.unguardable).map(\.program) == [.nfs])
        let rows = bench.loop.warden.registryEntries.filter { !$0.isGuardable }
        #expect(rows.map(\.netID) == ["rdma"] && rows.allSatisfy { !$0.isGuarded })
        #expect(bench.loop.warden.gauges(at: bench.now).unguardable == 1)
    }

    @Test("are not told of again when other services come and go, but when they come back themselves")
    func again() {
        let bench = Bench()
        let rdma = RPCB(program: .nfs, version: 4, netID: "rdma", address: "0.0.0.0.78.81", owner: "superuser")
        bench.rpcbind.registrations = .typical + [rdma]
        bench.start()
        bench.rpcbind.registrations = RPCB.ownPlaces + [rdma]
        bench.refresh()
        #expect(bench.events(.unguardable).count == 1)
        bench.rpcbind.registrations = RPCB.ownPlaces
        bench.refresh()
        bench.rpcbind.registrations = RPCB.ownPlaces + [rdma]
        bench.refresh()
        #expect(bench.events(.unguardable).count == 2)
    }
}
