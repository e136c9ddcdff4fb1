import Calls
import Configuration
import CoreSamples
import Firewall
import Policy
import Portmapper
import Testing

@testable import Upstream

@Suite("whose socket it is") struct SocketOwnerTests {
    @Test("a dead service's port that another user took is neither told, granted nor newly guarded")
    func foreign() {
        let bench = Bench([.sample()])
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
        let bench = Bench.started([.sample(), .sample("nfs", to: [.nfs], over: [.tcp], open: .always)])
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
        let bench = Bench([.sample()])
        bench.rpcbind.registrations = .typical
        bench.silent[.tcp(20048)] = ListenerState([
            ListenerSocket(cookie: 1, uid: 1000, ipv4: true, ipv6: false),
            ListenerSocket(cookie: 2, uid: 102, ipv4: false, ipv6: true),
        ])
        bench.start()
        #expect(bench.ask(.port(of: .mountd), from: .named) == [.authError(.failed)])
        #expect(bench.ask(.port(of: .mountd), from: .from("2001:db8:1::7")) == [PortmapperResult.port(20048).body])
    }

    @Test(
        "what another user takes over one address family is open to no client of that family, and to the others as before"
    )
    func takenFamily() {
        let bench = Bench.started([.sample(), .sample("nfs", to: [.nfs], over: [.tcp], open: .always)])
        let (own, other) = (Peer.named.over(.tcp), Peer.from("2001:db8:1::7").over(.tcp))
        for client in [own, other] { bench.call(.port(of: .mountd), from: client) }
        #expect(bench.kernel.granted.count == 2)
        #expect(Set(bench.kernel.standing.map(\.clients.first.isIPv4)) == [true, false])
        let sockets = ListenerState([
            ListenerSocket(cookie: 1, uid: 0, ipv4: true, ipv6: false),
            ListenerSocket(cookie: 2, uid: 1000, ipv4: false, ipv6: true),
        ])
        for port in [UInt16(20048), 2049] { bench.silent[.tcp(port)] = sockets }
        bench.forget()
        bench.refresh()
        #expect(bench.kernel.granted.keys.map(\.client) == [own.address])
        #expect(Set(bench.kernel.standing.map(\.clients.first.isIPv4)) == [true])
        #expect(Set(bench.cut.map(\.service)) == [.tcp(20048), .tcp(2049)])
        #expect(bench.cut.allSatisfy { !$0.clients.first.isIPv4 }, "flows that an opening admitted would outlive it")
        #expect(
            bench.events(.staleRegistration).map(\.detail) == [
                "tcp/2049 is held by uid 1000 over IPv6", "tcp/20048 is held by uid 1000 over IPv6",
            ])
        bench.silent = [:]
        bench.refresh()
        #expect(Set(bench.kernel.standing.map(\.clients.first.isIPv4)) == [true, false])
    }

    @Test("where an owner that is trusted has no uid, anybody's socket counts")
    func unknownOwner() {
        var upstream = Upstream(trustedOwners: ["unknown"])
        _ = upstream.read(Listing([RPCB(.nfs, 3, .tcp, port: 9, owner: "unknown")]), at: .zero)
        upstream.lookAtAll()
        let look = upstream.takeLook()
        _ = upstream.looked(look?.id ?? 0, [.tcp(9): ListenerState(ipv4: true, uid: 77)], at: .zero)
        #expect(upstream.services.isAlive(.tcp(9), ipv4: true))
    }
}
