import Addresses
import Calls
import CoreSamples
import Firewall
import ONCRPC
import Policy
import Portmapper
import Testing

@Suite("registry") struct RegistryTests {
    @Test("no registration of others guards a port: a hostile SET must not close it")
    func untrustedGuard() {
        let bench = Bench.started(registering: RPCB.everywhere(.quota, 1, port: 8080, owner: "1000"))
        #expect(bench.kernel.guarded == [])
    }

    @Test("neither a loopback service, nor a dead one, nor a path, nor rpcbind itself is guarded")
    func unguarded() {
        let bench = Bench()
        bench.rpcbind.registrations =
            RPCB.ownPlaces + [
                RPCB(.quota, 1, .tcp, "127.0.0.1.3.107"), RPCB(.quota, 1, .local, "/run/quota.sock"),
                RPCB(.mountd, 3, .tcp, port: 4000), RPCB(.portmapper, 4, .tcp, port: 1111),
            ]
        bench.silent = [.tcp(4000): ListenerState()]
        bench.start()
        #expect(bench.kernel.guarded == [])
        #expect(bench.events(.staleRegistration).map(\.detail) == ["nothing listens at tcp/4000"])
    }

    @Test("a service that restarts stays guarded while its mapping stays")
    func restart() {
        let bench = Bench.started(registering: RPCB.everywhere(.mountd, 3, port: 20048))
        bench.silent = [.tcp(20048): ListenerState(), .udp(20048): ListenerState()]
        for _ in 0..<3 { bench.refresh() }
        #expect(bench.kernel.guarded == [.tcp(20048), .udp(20048)])
        #expect(bench.events(.staleRegistration).count == 2)
        bench.rpcbind.registrations = []
        bench.refresh()
        #expect(bench.kernel.guarded == [])
    }

    @Test("guard and grants outlive rpcbind's absence, which is told once")
    func down() {
        let bench = Bench.started([.sample()])
        bench.call(.port(of: .mountd), from: .named)
        let (guarded, granted) = (bench.kernel.guarded, bench.kernel.granted)
        bench.forget()
        bench.rpcbind.isDown = true
        for _ in 0..<5 { bench.refresh() }
        #expect((bench.kernel.guarded, bench.kernel.granted) == (guarded, granted))
        bench.rpcbind.isDown = false
        for _ in 0..<5 { bench.refresh() }
        #expect(bench.events.map(\.kind) == [.rpcbindDown, .rpcbindUp])
    }

    @Test("a reload is in force for what an earlier run opened, also before rpcbind has answered")
    func reloadWithoutRegistry() {
        let rules = [
            Rule.sample(), .sample("nfs", from: ["10.1.0.0/16"], to: [.nfs], over: [.tcp], open: .always),
        ]
        let earlier = Bench.started(rules)
        earlier.call(.port(of: .mountd), from: .named.over(.tcp))
        earlier.call(.port(of: .mountd), from: .from("10.1.9.9", .tcp))
        let saved = earlier.loop.warden.guardToSave(at: earlier.now)?.saved(at: nil)
        let bench = Bench(rules)
        bench.kernel = earlier.kernel
        bench.rpcbind.isDown = true
        guard let contents = bench.kernel.contents else {
            Issue.record("no table")
            return
        }
        bench.handle {
            $0.tableFound(contents, saved: saved, at: $1)
            $0.flush(at: $1, into: &$2)
        }
        bench.advance(by: .zero)
        #expect(bench.kernel.granted.count == 2 && bench.kernel.standing == [StandingKey("10.1.0.0/16", .tcp(2049))])
        bench.reload([
            .sample(from: ["10.1.2.3"]), .sample("nfs", from: ["10.1.4.0/24"], to: [.nfs], over: [.tcp], open: .always),
        ])
        #expect(Set(bench.kernel.granted.keys) == [GrantKey("10.1.2.3", .tcp(20048))])
        #expect(bench.kernel.standing == [StandingKey("10.1.4.0/24", .tcp(2049))])
        #expect(bench.events(.revoked).map(\.detail) == ["no longer permitted"])
    }

    @Test("registrations come and go in the log, those of others as untrusted")
    func events() {
        let bench = Bench.started(registering: [])
        bench.rpcbind.registrations = [
            RPCB(.mountd, 3, .tcp, port: 4000), RPCB(.quota, 1, .udp, port: 875, owner: "1000"),
            RPCB(.nfs, 3, .local, "/run/nfs.sock"),
        ]
        bench.refresh()
        bench.rpcbind.registrations = []
        bench.refresh()
        #expect(bench.events.map(\.kind) == [.registered, .untrustedRegistration, .unregistered, .unregistered])
        #expect(
            bench.events.map(\.detail) == [
                "tcp/4000 (tcp) by superuser", "udp/875 (udp) by 1000; trusted if rpcbind.owners has \"1000\"",
                "tcp/4000 (tcp) by superuser", "udp/875 (udp) by 1000",
            ])
        #expect(bench.events.map(\.programName) == ["mountd", nil, "mountd", nil])
    }

    @Test("a local user who registers without end fills no disk; what is swallowed is counted exactly")
    func registrationFlood() {
        let bench = Bench.started(registering: [])
        var total = 0
        for round in 0..<20 {
            bench.rpcbind.registrations = (1...500).map {
                RPCB(Program(UInt32(round * 1000 + $0)), 1, .tcp, port: UInt16($0), owner: "1000")
            }
            bench.refresh()
            total += round == 0 ? 500 : 1000
        }
        bench.rpcbind.registrations = []
        bench.refresh()
        total += 500
        bench.advance(by: .seconds(10))
        let written = bench.events(.untrustedRegistration).count + bench.events(.unregistered).count
        #expect(written <= 200 + 20 * 11)
        #expect(bench.events(.suppressed).compactMap(\.count).reduce(written, +) == total)
    }

    @Test("the registry's lines tell what is trusted, alive and guarded")
    func entries() {
        let bench = Bench()
        bench.rpcbind.registrations = [
            RPCB(.mountd, 3, .tcp, port: 4000), RPCB(.mountd, 3, .udp, port: 4000),
            RPCB(.quota, 1, .tcp, port: 875, owner: "7"),
        ]
        bench.silent = [.udp(4000): ListenerState()]
        bench.start()
        let entries = bench.loop.warden.registryEntries
        #expect(entries.map(\.isTrusted) == [true, true, false])
        #expect(entries.map(\.isAlive) == [true, false, false])
        #expect(entries.map(\.isGuarded) == [true, false, false])
    }

    @Test("whoever nobody can name is told without a remedy")
    func unknownOwner() {
        let bench = Bench.started(registering: [])
        bench.rpcbind.registrations = [RPCB(.quota, 1, .udp, port: 875, owner: "unknown")]
        bench.refresh()
        #expect(bench.events(.untrustedRegistration).map(\.detail) == ["udp/875 (udp) by unknown"])
    }

    @Test("programs that share a port are told of each other")
    func sharedPorts() {
        let bench = Bench()
        bench.rpcbind.registrations = [
            RPCB(.mountd, 3, .tcp, port: 2049), RPCB(.nfs, 3, .tcp, port: 2049), RPCB(.nfs, 4, .tcp, port: 2049),
            RPCB(.nfs, 3, .udp, port: 2049), RPCB(.quota, 1, .local, "/run/quota.sock"),
        ]
        bench.start()
        #expect(bench.loop.warden.registryEntries.map(\.sharesPortWith) == [[.nfs], [.mountd], [.mountd], [], []])
    }

    @Test("a service registered at an address of the other family is guarded, and told at the address asked")
    func otherFamily() {
        let bench = Bench.started(
            [.sample(to: [.quota])], registering: [RPCB(.quota, 1, .tcp, "0:0:0:0:0:0:0:0.3.107")])
        #expect(bench.kernel.guarded == [.tcp(875)])
        let asking = Peer.named.over(.tcp)
        #expect(bench.ask(.port(of: .quota, version: 1), from: asking) == [PortmapperResult.port(875).body])
        #expect(bench.kernel.opens(.tcp(875), to: asking.address))
    }

    @Test("a refresh that isn't answered doesn't stop the next")
    func lostRefresh() {
        let bench = Bench.started()
        bench.holdsQuestions = true
        bench.refresh()
        bench.refresh()
        #expect(bench.questions.map(\.question) == [.registry])
        bench.loseAll()
        #expect(bench.questions.map(\.question) == [.registry])
        bench.loseAll()
        #expect(bench.isQuiet)
    }
}
