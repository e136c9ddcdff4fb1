import Addresses
import Calls
import Clock
import CoreSamples
import Firewall
import Policy
import Portmapper
import TestSupport
import Testing

/// rpcbind loses its registrations; a guarded port stays guarded while its socket listens.
@Suite("orphans") struct OrphanTests {
    static let service = ServicePort.tcp(20048)
    static let rules = [Rule.sample(), .sample("nfs", to: [.nfs], over: [.tcp], open: .always)]

    /// A client holds a grant for mountd, and rpcbind has restarted without registrations.
    private static func forgotten() -> Bench {
        let bench = Bench.started(Self.rules)
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        bench.outliving = [.tcp(20048), .udp(20048), .tcp(2049), .udp(2049)]
        bench.rpcbind.registrations = RPCB.ownPlaces
        bench.forget()
        bench.refresh()
        return bench
    }

    @Test("an rpcbind that comes back empty opens nothing, and ends no grant and no standing opening")
    func rpcbindForgets() {
        let bench = Self.forgotten()
        for _ in 0..<3 { bench.refresh() }
        #expect(bench.kernel.guarded == [.tcp(20048), .udp(20048), .tcp(2049), .udp(2049)])
        #expect(bench.kernel.granted.keys.map(\.service) == [Self.service])
        #expect(Set(bench.kernel.standing.map(\.service)) == [.tcp(2049)])
        #expect(bench.cut.isEmpty && bench.events(.revoked).isEmpty)
        #expect(bench.events(.orphaned).map(\.program) == [.nfs, .mountd, .nfs, .mountd])
        #expect(bench.events(.orphaned).first?.detail?.hasPrefix("tcp/2049 is no longer registered") == true)
        let rows = bench.loop.warden.registryEntries.filter(\.isOrphaned)
        #expect(rows.count == 8 && rows.allSatisfy { $0.isAlive && $0.isGuarded && $0.isTrusted })
        #expect(bench.isQuiet)
    }

    @Test("the guard ends when the socket is closed, and the grant with it")
    func socketCloses() {
        let bench = Self.forgotten()
        bench.outliving = []
        bench.refresh()
        #expect((bench.kernel.guarded, bench.kernel.granted.count, bench.kernel.standing) == ([], 0, []))
        #expect(bench.events(.revoked).map(\.detail) == ["no longer registered"])
        #expect(bench.loop.warden.registryEntries.filter(\.isOrphaned).isEmpty)
    }

    @Test("another socket at the port isn't the one that was guarded")
    func otherSocket() {
        let bench = Self.forgotten()
        bench.silent[Self.service] = ListenerState(ipv4: true, ipv6: true, cookie: 99)
        bench.refresh()
        #expect(!bench.kernel.guarded.contains(Self.service))
        #expect(bench.kernel.granted.isEmpty)
    }

    @Test("a service that registers again is no orphan any more, and was never open")
    func registersAgain() {
        let bench = Self.forgotten()
        bench.rpcbind.registrations = .typical
        bench.refresh()
        #expect(bench.kernel.guarded.contains(Self.service))
        #expect(bench.kernel.granted.keys.map(\.service) == [Self.service])
        #expect(bench.loop.warden.registryEntries.filter(\.isOrphaned).isEmpty)
        bench.rpcbind.registrations = RPCB.ownPlaces
        bench.refresh()
        #expect(bench.events(.orphaned).filter { $0.program == .mountd }.count == 4, "told anew")
    }

    @Test("a program that registers at another port has moved: its grant ends, the old port stays shut")
    func moves() {
        let bench = Self.forgotten()
        bench.rpcbind.registrations = RPCB.ownPlaces + RPCB.everywhere(.mountd, 3, port: 4002)
        bench.refresh()
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.kernel.guarded.isSuperset(of: [Self.service, .tcp(4002)]))
    }

    @Test("a policy that no longer permits it ends an orphan's grant")
    func policyEnds() {
        let bench = Self.forgotten()
        bench.reload([.sample(to: [.nfs], open: .always)])
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.kernel.guarded.contains(Self.service))
    }

    @Test("an orphan's expired grant is revived by a packet")
    func revives() {
        let bench = Self.forgotten()
        bench.advance(by: .seconds(86_401))
        bench.advance(by: .seconds(1))
        #expect(bench.kernel.granted.isEmpty)
        let packet = DroppedPacket(
            client: Peer.named.address, clientPort: 800, service: Self.service, kind: .remembered)
        bench.handle { $0.packetDropped(packet, at: $1, into: &$2) }
        bench.handle { $0.flush(at: $1, into: &$2) }
        #expect(bench.kernel.granted.count == 1)
    }

    @Test("a restart of the daemon beside an empty rpcbind ends neither guard nor grants")
    func restart() {
        let before = Self.forgotten()
        let bench = Bench(Self.rules)
        bench.rpcbind = before.rpcbind
        bench.kernel = before.kernel
        bench.outliving = before.outliving
        bench.now = before.now
        bench.start()
        bench.refresh()
        #expect(bench.kernel.guarded == before.kernel.guarded)
        #expect(bench.kernel.granted.keys.map(\.service) == [Self.service])
    }

    @Test("while rpcbind doesn't answer, a socket that replaces the guarded one is the one that is guarded")
    func replacedMeanwhile() {
        let bench = Bench.started(Self.rules)
        bench.rpcbind.isDown = true
        bench.silent[Self.service] = ListenerState(ipv4: true, ipv6: true, cookie: 99)
        bench.outliving = [Self.service]
        bench.refresh()
        bench.rpcbind.isDown = false
        bench.rpcbind.registrations = RPCB.ownPlaces
        bench.refresh()
        #expect(bench.kernel.guarded.contains(Self.service))
    }

    @Test("of two programs at one port, the one that leaves takes nobody else's flows along")
    func sharedPort() {
        let shared = RPCB.everywhere(.mountd, 3, port: 2049) + RPCB.everywhere(.nfs, 3, port: 2049)
        let bench = Bench.started([.sample(), .sample("nfs", from: ["10.1.2.0/24"], to: [.nfs])], registering: shared)
        bench.call(.port(of: .nfs), from: .named)
        bench.call(.port(of: .mountd), from: .from("10.1.9.9"))
        bench.forget()
        bench.rpcbind.registrations.removeAll { $0.program == .mountd }
        bench.refresh()
        #expect(bench.kernel.granted.keys.map(\.client) == [Peer.named.address])
        let cut = bench.cut.filter { $0.service == .tcp(2049) }
        #expect(!cut.contains { $0.clients.contains(Peer.named.address) })
        #expect(
            cut.contains { $0.clients.contains(ip("10.1.9.9")) } && cut.contains { $0.clients.contains(ip("10.1.2.4")) }
        )
    }
}
