import Firewall
import Policy
import Portmapper
import Testing

@testable import Warden

/// rpcbind forgets; what was guarded stays so while its socket listens.
@Suite("orphans") struct OrphanTests {
    static let service = ServicePort.tcp(20048)
    static let rules = [Rule.sample(), .sample("nfs", to: [.nfs], over: [.tcp], open: .always)]

    /// A client holds a grant for mountd, and rpcbind has come back empty.
    private static func forgotten() -> Bench {
        var bench = Bench.started(Self.rules)
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        bench.outliving = [.tcp(20048), .udp(20048), .tcp(2049), .udp(2049)]
        bench.rpcbind.registrations = RPCB.ownPlaces
        bench.forget()
        bench.refresh()
        return bench
    }

    @Test("an rpcbind that comes back empty opens nothing, and ends no grant and no standing opening")
    func rpcbindForgets() {
        var bench = Self.forgotten()
        for _ in 0..<3 { bench.refresh() }
        #expect(bench.kernel.guarded == [.tcp(20048), .udp(20048), .tcp(2049), .udp(2049)])
        #expect(bench.kernel.granted.keys.map(\.service) == [Self.service])
        #expect(Set(bench.kernel.standing.map(\.service)) == [.tcp(2049)])
        #expect(bench.cut.isEmpty && bench.events(.revoked).isEmpty)
        #expect(bench.events(.orphaned).map(\.program) == [.nfs, .mountd, .nfs, .mountd])
        #expect(bench.events(.orphaned).first?.detail?.hasPrefix("tcp/2049 is no longer registered") == true)
        let rows = bench.warden.registryEntries.filter(\.isOrphaned)
        #expect(rows.count == 8 && rows.allSatisfy { $0.isAlive && $0.isGuarded && $0.isTrusted })
        #expect(bench.isQuiet)
    }

    @Test("the guard ends when the socket is closed, and the grant with it")
    func socketCloses() {
        var bench = Self.forgotten()
        bench.outliving = []
        bench.refresh()
        #expect((bench.kernel.guarded, bench.kernel.granted.count, bench.kernel.standing) == ([], 0, []))
        #expect(bench.events(.revoked).map(\.detail) == ["no longer registered"])
        #expect(bench.warden.registryEntries.filter(\.isOrphaned).isEmpty)
    }

    @Test("another socket at the port isn't the one that was guarded")
    func otherSocket() {
        var bench = Self.forgotten()
        bench.silent[Self.service] = ListenerState(ipv4: true, ipv6: true, cookie: 99)
        bench.refresh()
        #expect(!bench.kernel.guarded.contains(Self.service))
        #expect(bench.kernel.granted.isEmpty)
    }

    @Test("a service that registers again is no orphan any more, and was never open")
    func registersAgain() {
        var bench = Self.forgotten()
        bench.rpcbind.registrations = .typical
        bench.refresh()
        #expect(bench.kernel.guarded.contains(Self.service))
        #expect(bench.kernel.granted.keys.map(\.service) == [Self.service])
        #expect(bench.warden.registryEntries.filter(\.isOrphaned).isEmpty)
        bench.rpcbind.registrations = RPCB.ownPlaces
        bench.refresh()
        #expect(bench.events(.orphaned).filter { $0.program == .mountd }.count == 4, "told anew")
    }

    @Test("a program that registers at another port has moved: its grant ends, the old port stays shut")
    func moves() {
        var bench = Self.forgotten()
        bench.rpcbind.registrations = RPCB.ownPlaces + RPCB.everywhere(.mountd, 3, port: 4002)
        bench.refresh()
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.kernel.guarded.isSuperset(of: [Self.service, .tcp(4002)]))
    }

    @Test("a policy that no longer permits it ends an orphan's grant")
    func policyEnds() {
        var bench = Self.forgotten()
        bench.reload([.sample(to: [.nfs], open: .always)])
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.kernel.guarded.contains(Self.service))
    }

    @Test("an orphan's expired grant is revived by a packet")
    func revives() {
        var bench = Self.forgotten()
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
        var bench = Bench(Self.rules)
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
        var bench = Bench.started(Self.rules)
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
        var bench = Bench.started([.sample(), .sample("nfs", from: ["10.1.2.0/24"], to: [.nfs])], registering: shared)
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

@Suite("whose socket it is") struct SocketOwnerTests {
    @Test("a dead service's port that another user took is neither told, granted nor newly guarded")
    func foreign() {
        var bench = Bench([.sample()])
        bench.rpcbind.registrations = .typical
        bench.silent[.tcp(20048)] = ListenerState(ipv4: true, ipv6: true, uid: 1000)
        bench.start()
        #expect(bench.ask(.port(of: .mountd), from: .named) == [.authError(.failed)])
        #expect(bench.denials == [.untrustedOwner])
        #expect(
            bench.events(.denied).last?.detail == "tcp/20048 is held by uid 1000, which rpcbind.owners doesn't trust")
        #expect(!bench.kernel.guarded.contains(.tcp(20048)))
        #expect(bench.events(.staleRegistration).map(\.detail) == ["tcp/20048 is held by uid 1000"])
    }

    @Test("a port that another user takes ends the grants and openings that its service had, until the service is back")
    func taken() {
        var bench = Bench.started([.sample(), .sample("nfs", to: [.nfs], over: [.tcp], open: .always)])
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        let key = GrantKey("10.1.2.3", .tcp(20048))
        bench.forget()
        bench.silent[.tcp(20048)] = ListenerState(ipv4: true, ipv6: true, uid: 1000)
        bench.silent[.tcp(2049)] = ListenerState(ipv4: true, ipv6: true, uid: 1000)
        bench.refresh()
        #expect(bench.kernel.granted.isEmpty && bench.kernel.standing.isEmpty)
        #expect(bench.kernel.guarded.isSuperset(of: [.tcp(20048), .tcp(2049)]))
        #expect(Set(bench.cut.map(\.service)) == [.tcp(20048), .tcp(2049)])
        #expect(bench.events(.revoked).map(\.client) == [key.client])
        bench.silent = [:]
        bench.refresh()
        #expect(Set(bench.kernel.standing.map(\.service)) == [.tcp(2049)])
        #expect(bench.kernel.remembered[key] != nil, "its packet brings it back")
    }

    @Test("a socket of a trusted user beside it counts, over its own family")
    func both() {
        var bench = Bench([.sample()])
        bench.rpcbind.registrations = .typical
        bench.silent[.tcp(20048)] = ListenerState([
            ListenerSocket(cookie: 1, uid: 1000, ipv4: true, ipv6: false),
            ListenerSocket(cookie: 2, uid: 102, ipv4: false, ipv6: true),
        ])
        bench.start()
        #expect(bench.ask(.port(of: .mountd), from: .named) == [.authError(.failed)])
        #expect(bench.ask(.port(of: .mountd), from: .from("2001:db8:1::7")) == [PortmapperResult.port(20048).body])
    }

    @Test("where an owner that is trusted has no uid, anybody's socket counts")
    func unknownOwner() {
        var warden = Warden(settings: Settings(), policy: Policy(), names: .wellKnown, trustedOwners: ["unknown"])
        _ = warden.services.registryRead(
            Registry([RPCB(.nfs, 3, .tcp, port: 9, owner: "unknown")]), trusted: ["unknown"], at: .zero)
        _ = warden.services.listenersInspected([.tcp(9): ListenerState(ipv4: true, uid: 77)], at: .zero)
        #expect(warden.services.isAlive(.tcp(9), ipv4: true))
    }
}

@Suite("a registry that can't be read") struct SurveyTests {
    @Test("policy's programs are asked one by one: look-ups go on, and new services of root are guarded")
    func survey() {
        var bench = Bench.started([.sample()], registering: RPCB.ownPlaces)
        bench.rpcbind.registrations = .typical
        bench.rpcbind.cannotList = true
        bench.refresh()
        #expect(bench.kernel.guarded == [.tcp(20048), .udp(20048)])
        #expect(bench.ask(.port(of: .mountd), from: .named) == [PortmapperResult.port(20048).body])
        #expect(bench.kernel.granted.count == 1)
        #expect(
            bench.events(.rpcbindDown).map(\.detail) == [
                "rpcbind did not answer in time; policy's programs are asked for one by one"
            ])
        for _ in 0..<4 { bench.refresh() }
        #expect(bench.events(.rpcbindDown).count == 1)
        bench.rpcbind.cannotList = false
        bench.refresh()
        #expect(bench.events(.rpcbindUp).count == 1)
        #expect(bench.kernel.guarded.contains(.tcp(2049)))
        #expect(bench.isQuiet)
    }

    @Test("a start beside such a registry answers look-ups")
    func start() {
        var bench = Bench([.sample()])
        bench.rpcbind.registrations = .typical
        bench.rpcbind.cannotList = true
        bench.start()
        #expect(bench.warden.registry != nil)
        #expect(bench.ask(.port(of: .mountd), from: .named) == [PortmapperResult.port(20048).body])
    }

    @Test("whose port it is, is told by its socket: another user's is neither guarded nor granted")
    func foreign() {
        var bench = Bench.started([.sample()], registering: RPCB.ownPlaces)
        bench.rpcbind.registrations = RPCB.everywhere(.mountd, 3, port: 5432, owner: "1000")
        bench.silent = [.tcp(5432): ListenerState(ipv4: true, uid: 1000), .udp(5432): ListenerState()]
        bench.rpcbind.cannotList = true
        bench.refresh()
        #expect(bench.kernel.guarded == [])
        #expect(bench.ask(.port(of: .mountd), from: .named) == [.authError(.failed)])
    }

    @Test("a listing that lacks what a survey found ends its guard: it was another user's, at a socket of root's")
    func othersAtRootsSocket() {
        var bench = Bench.started([.sample()], registering: RPCB.ownPlaces)
        bench.rpcbind.registrations = RPCB.ownPlaces + [RPCB(.mountd, 3, .tcp, port: 5432, owner: "1000")]
        bench.outliving = [.tcp(5432)]
        bench.rpcbind.cannotList = true
        bench.refresh()
        #expect(bench.kernel.guarded == [.tcp(5432)])
        bench.rpcbind.cannotList = false
        bench.refresh()
        #expect(bench.kernel.guarded == [])
        #expect(bench.events(.orphaned).isEmpty)
    }

    @Test("an rpcbind that is gone is asked nothing")
    func gone() {
        var bench = Bench.started([.sample()])
        bench.rpcbind.isDown = true
        bench.refresh()
        #expect(bench.asked == [.registry])
        #expect(bench.warden.isRpcbindUp == false)
    }

    @Test("a listing that takes long is asked for less often: rpcbind answers nobody else meanwhile")
    func sparesRpcbind() {
        var bench = Bench.started()
        bench.holdsQuestions = true
        bench.refresh()
        bench.now = bench.now + .seconds(2)
        bench.answerAll()
        bench.forget()
        for _ in 0..<31 { bench.refresh() }
        #expect(bench.asked.isEmpty)
        bench.refresh()
        #expect(bench.asked == [.registry])
    }

    @Test("a listing that a client asked for puts the snapshot off no longer, however long it takes")
    func clientsListing() {
        var bench = Bench.started([.sample(lists: true)])
        bench.holdsQuestions = true
        bench.call(.dump(.v4), from: .named.over(.tcp))
        bench.now = bench.now + .milliseconds(400)
        bench.answerAll()
        bench.forget()
        bench.refresh()
        #expect(bench.asked == [.registry])
    }
}

@Suite("registrations over RDMA") struct UnguardableTests {
    @Test("are told of once, and shown as what no packet filter sees")
    func rdma() {
        var bench = Bench()
        let rdma = RPCB(program: .nfs, version: 4, netID: "rdma", address: "0.0.0.0.78.81", owner: "superuser")
        bench.rpcbind.registrations = .typical + [rdma]
        bench.start()
        bench.refresh()
        #expect(bench.events(.unguardable).map(\.program) == [.nfs])
        let rows = bench.warden.registryEntries.filter { !$0.isGuardable }
        #expect(rows.map(\.netID) == ["rdma"] && rows.allSatisfy { !$0.isGuarded })
        #expect(bench.warden.gauges(at: bench.now).unguardable == 1)
    }
}
