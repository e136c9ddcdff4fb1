import Calls
import Configuration
import CoreSamples
import Firewall
import ONCRPC
import Policy
import Portmapper
import Testing

@Suite("lookup") struct LookupTests {
    static let mountRules = [Rule.sample()]

    @Test("a registration of an owner that is not trusted is denied, and nothing is opened")
    func untrustedOwner() {
        for owner in ["1000", "unknown", "", "root", "Superuser", "superuser "] {
            let bench = Bench.started(
                Self.mountRules, registering: RPCB.ownPlaces + RPCB.everywhere(.mountd, 3, port: 5000, owner: owner))
            #expect(bench.ask(.port(of: .mountd), from: .named) == [authError])
            #expect(bench.denials == [.untrustedOwner])
            #expect((bench.kernel.guarded, bench.kernel.granted.count) == ([], 0))
            #expect(bench.isQuiet)
        }
    }

    @Test("a version that another user added to root's program doesn't hide root's: that one answers")
    func addedVersion() {
        let bench = Bench.started(
            Self.mountRules, registering: .typical + RPCB.everywhere(.mountd, 77, port: 5000, owner: "1000"))
        let tcp = { (call: PortmapperCall, bench: Bench) in bench.ask(call, from: .named.over(.tcp)) }
        for version in [77, 3, 1] as [UInt32] {
            #expect(tcp(.port(of: .mountd, version: version), bench) == [PortmapperResult.port(20048).body])
            #expect(
                tcp(.address(of: .mountd, version: version), bench) == [
                    PortmapperResult.address("10.1.0.1.78.80").body
                ])
        }
        let there = bench.ask(.address(of: .mountd, version: 77), from: .from("2001:db8:1::7", .tcp))
        #expect(there == [PortmapperResult.address("2001:db8:1::1.78.80").body])
        #expect(Set(bench.kernel.granted.keys.map(\.service)) == [.tcp(20048)])
        // GETVERSADDR is for exactly this version, and root does not own its registration.
        #expect(tcp(.versionAddress(of: .mountd, version: 77), bench) == [authError])
        #expect(bench.denials == [.untrustedOwner])
    }

    @Test("an rpcbind without a list of version 2 is asked by DUMP alone, once that is known")
    func withoutVersion2() {
        let bench = Bench.started(Self.mountRules)
        bench.rpcbind.lacksVersion2 = true
        #expect(bench.ask(.port(of: .mountd), from: .named) == [PortmapperResult.port(20048).body])
        #expect(bench.asked == [.port(of: .mountd), .registry, .port(of: .portmapper, version: 2)])
        bench.forget()
        #expect(
            bench.ask(.address(of: .mountd), from: .named, xid: 8) == [PortmapperResult.address("10.1.0.1.78.80").body])
        #expect(bench.ask(.port(of: .mountd), from: .loopback, xid: 9) == [PortmapperResult.port(20048).body])
        #expect(bench.asked == [.registry, .registry])
        bench.rpcbind.registrations = RPCB.ownPlaces
        #expect(bench.ask(.port(of: .mountd), from: .named, xid: 10) == [PortmapperResult.port(0).body])
        #expect(bench.isQuiet)
    }

    @Test("one registration that version 2 doesn't list makes nobody else's look-up wait for the registry")
    func unlistedRegistration() {
        let bench = Bench.started([.sample(to: [.mountd, .nfs])])
        bench.rpcbind.unlisted = [.mountd]
        #expect(bench.ask(.port(of: .mountd), from: .named) == [PortmapperResult.port(20048).body])
        bench.forget()
        #expect(bench.ask(.port(of: .nfs), from: .named, xid: 8) == [PortmapperResult.port(2049).body])
        #expect(bench.asked == [.port(of: .nfs)])
    }

    @Test("an answer that the registry doesn't know hides no registration of a trusted owner")
    func unknownAnswer() {
        let bench = Bench.started([.sample()])
        bench.rpcbind.misleading = [.mountd: 6666]
        #expect(bench.ask(.port(of: .mountd), from: .named) == [PortmapperResult.port(20048).body])
        #expect(bench.ask(.port(of: .mountd), from: .loopback, xid: 8) == [PortmapperResult.port(6666).body])
        #expect(bench.isQuiet)
    }

    @Test("a program registered by another user at root's port is denied")
    func squatterOnTrustedPort() {
        let bench = Bench.started(
            [.sample(to: [.mountd, .quota])],
            registering: .typical + RPCB.everywhere(.quota, 1, port: 2049, owner: "1000"))
        #expect(bench.ask(.port(of: .quota), from: .named) == [authError])
        #expect(bench.denials == [.untrustedOwner])
    }

    @Test(
        "what was trusted a moment ago does not vouch for another program, port or netid, nor after the owner has changed",
        arguments: [
            (
                RPCB(.quota, 1, .tcp, port: 20048, owner: "1000"), PortmapperCall.port(of: .quota, version: 1),
                Peer.named
            ),
            (RPCB(.mountd, 9, .udp, port: 5000, owner: "1000"), .port(of: .mountd, .udp, version: 9), .named),
            (
                RPCB(.mountd, 9, .tcp6, port: 20048, owner: "1000"), .address(of: .mountd, version: 9),
                .from("2001:db8:1::7", .tcp)
            ),
        ])
    func explanations(hostile: RPCB, call: PortmapperCall, peer: Peer) {
        let trusted = RPCB(.mountd, 3, .tcp, port: 20048)
        let trustedCall = PortmapperCall.port(of: .mountd, version: 3)
        let bench = Bench.started(
            [.sample(to: [.mountd, .quota])], registering: RPCB.ownPlaces + [trusted, hostile])
        #expect(bench.ask(trustedCall, from: .named) == [PortmapperResult.port(20048).body])
        #expect(bench.ask(call, from: peer) == [authError])
        #expect(bench.ask(trustedCall, from: .named) == [PortmapperResult.port(20048).body])
        bench.rpcbind.registrations = RPCB.ownPlaces + [RPCB(.mountd, 3, .tcp, port: 20048, owner: "1000")]
        bench.advance(by: .seconds(1))
        #expect(bench.ask(trustedCall, from: .named) == [authError])
        #expect(bench.denials == [.untrustedOwner, .untrustedOwner])
    }

    @Test("root's mapping over another netid does not vouch for another user's at the same port")
    func squatterOnTrustedNetID() {
        let bench = Bench.started(
            Self.mountRules,
            registering: RPCB.ownPlaces + [
                RPCB(.mountd, 3, .tcp, port: 5000, owner: "1000"), RPCB(.mountd, 3, .tcp6, port: 5000),
            ])
        #expect(bench.ask(.port(of: .mountd), from: .named) == [authError])
        #expect(bench.denials == [.untrustedOwner])
    }

    @Test("where root and another user registered the same port, root's mapping counts, whichever came first")
    func bothOwners() {
        let registrations = [
            RPCB(.mountd, 77, .tcp, port: 20048, owner: "1000"), RPCB(.mountd, 3, .tcp, port: 20048),
        ]
        for registrations in [registrations, registrations.reversed()] {
            let bench = Bench.started(Self.mountRules, registering: RPCB.ownPlaces + registrations)
            #expect(bench.ask(.port(of: .mountd), from: .named) == [PortmapperResult.port(20048).body])
        }
    }

    @Test("a port on the never list is neither told, guarded nor granted", arguments: [22, 111, 4045] as [UInt16])
    func neverPort(port: UInt16) {
        let settings = Settings().with { $0.firewall.never = [22, 111, 4045] }
        let bench = Bench.started(
            Self.mountRules, settings: settings, registering: RPCB.everywhere(.mountd, 3, port: port))
        #expect(bench.ask(.port(of: .mountd), from: .named) == [authError])
        #expect(bench.denials == [.neverPort])
        #expect((bench.kernel.guarded, bench.kernel.granted.count) == ([], 0))
    }

    @Test("a service that nobody listens for is denied, over the client's family", arguments: [true, false])
    func notListening(ipv4: Bool) {
        let bench = Bench(Self.mountRules)
        bench.rpcbind.registrations = .typical
        bench.silent = [.tcp(20048): ListenerState(ipv4: !ipv4, ipv6: ipv4)]
        bench.start()
        let clients = ["10.1.2.3", "2001:db8:1::7"]
        #expect(bench.ask(.port(of: .mountd), from: .from(clients[ipv4 ? 0 : 1])) == [authError])
        #expect(bench.denials == [.notListening])
        #expect(
            bench.ask(.port(of: .mountd), from: .from(clients[ipv4 ? 1 : 0])) == [PortmapperResult.port(20048).body])
    }

    @Test("a service that nobody listens for is denied, whatever its rule opens", arguments: Opening.allCases)
    func notListening(open: Opening) {
        let bench = Bench([.sample(open: open)])
        bench.rpcbind.registrations = .typical
        bench.silent = [.tcp(20048): ListenerState()]
        bench.start()
        #expect(bench.ask(.port(of: .mountd), from: .named) == [authError])
        #expect(bench.denials == [.notListening])
    }

    @Test("a service that died is denied to the client whose grant lives on")
    func diedWithGrant() {
        let bench = Bench.started(Self.mountRules)
        #expect(bench.ask(.port(of: .mountd), from: .named) == [PortmapperResult.port(20048).body])
        bench.silent[.tcp(20048)] = ListenerState()
        bench.refresh()
        #expect(bench.ask(.port(of: .mountd), from: .named, xid: 8) == [authError])
        #expect(bench.denials == [.notListening])
    }

    @Test("a service that stopped listening a moment ago is denied", arguments: [Opening.onLookup])
    func stoppedListening(open: Opening) {
        let bench = Bench.started([.sample(open: open)])
        bench.silent[.tcp(20048)] = ListenerState()
        #expect(bench.ask(.port(of: .mountd), from: .named) == [authError])
        #expect(bench.denials == [.notListening])
    }

    @Test("a service that listens only now is told at once", arguments: Opening.allCases)
    func listensNow(open: Opening) {
        let bench = Bench([.sample(open: open)])
        bench.rpcbind.registrations = .typical
        bench.silent[.tcp(20048)] = ListenerState()
        bench.start()
        bench.silent = [:]
        #expect(bench.ask(.port(of: .mountd), from: .named) == [PortmapperResult.port(20048).body])
    }

    @Test("sockets that can't be looked up deny what would be opened")
    func listenersFail() {
        let bench = Bench.started(Self.mountRules)
        bench.listenersFail = true
        #expect(bench.ask(.port(of: .mountd), from: .named) == [authError])
        #expect(bench.denials == [.firewallFailed])
        #expect(bench.isQuiet)
    }

    @Test(
        "a service of this host only is not registered for others", arguments: ["127.0.0.1.78.80", "127.9.9.9.78.80"])
    func loopbackOnly(address: String) {
        let bench = Bench.started(Self.mountRules, registering: [RPCB(.mountd, 3, .tcp, address)])
        #expect(bench.ask(.port(of: .mountd), from: .named) == [PortmapperResult.port(0).body])
        #expect(bench.kernel.guarded == [])
        #expect(bench.ask(.port(of: .mountd), from: .loopback) == [PortmapperResult.port(20048).body])
    }

    @Test("an unregistered program that a rule permits is answered as rpcbind does")
    func unregistered() {
        let bench = Bench.started([.sample(to: [.quota])])
        #expect(bench.ask(.port(of: .quota), from: .named) == [PortmapperResult.port(0).body])
        #expect(bench.ask(.address(of: .quota), from: .named) == [PortmapperResult.address("").body])
        #expect(bench.ask(.versionAddress(of: .quota), from: .named) == [PortmapperResult.address("").body])
        #expect(bench.events.map(\.detail) == ["not registered", "not registered", "not registered"])
    }

    @Test("a protocol that is neither UDP nor TCP has no port, and isn't asked for")
    func otherProtocol() {
        let bench = Bench.started(Self.mountRules)
        let sctp = PortmapperCall.getPort(Mapping(program: .mountd, version: 3, protocolNumber: 132, port: 0))
        #expect(bench.ask(sctp, from: .named) == [PortmapperResult.port(0).body])
        #expect(bench.asked == [])
    }

    /// The peer and its call, the question that it makes the Warden ask rpcbind, and the result.
    static let ways: [(Peer, PortmapperCall, Question, PortmapperResult)] = [
        (
            .named, .port(of: .mountd),
            .port(of: .mountd), .port(20048)
        ),
        (
            .named.over(.tcp), .address(of: .mountd, as: .v3),
            .port(of: .mountd), .address("10.1.0.1.78.80")
        ),
        (
            .named, .address(of: .mountd),
            .port(of: .mountd, .udp), .address("10.1.0.1.78.80")
        ),
        (
            .from("2001:db8:1::7"), .address(of: .mountd),
            .registry, .address("2001:db8:1::1.78.80")
        ),
        (
            .from("2001:db8:1::7", .tcp), .versionAddress(of: .mountd),
            .registry, .address("2001:db8:1::1.78.80")
        ),
        (
            .from("2001:db8:1::7"), .port(of: .mountd),
            .port(of: .mountd), .port(20048)
        ),
    ]

    @Test("asks rpcbind a call built anew, opens the port for the client, then answers", arguments: ways)
    func permitted(peer: Peer, call: PortmapperCall, question: Question, result: PortmapperResult) {
        let bench = Bench.started(Self.mountRules)
        bench.audit = { action, bench in
            guard case .reply = action else { return }
            #expect(bench.kernel.granted.keys.map(\.client) == [peer.address])
        }
        #expect(bench.ask(call, from: peer) == [result.body])
        #expect(bench.asked == [question])
        #expect(bench.events.map(\.kind) == [.granted, .permitted])
        #expect(bench.events.last?.rule == "policy.yaml:3 \"clients mount\"")
        #expect(bench.isQuiet)
    }

    @Test("nothing that the peer wrote but program, version and protocol goes upstream")
    func rebuilt() {
        let bench = Bench.started(Self.mountRules)
        let hostile = RPCB(program: .mountd, version: 3, netID: "local", address: "/etc/passwd", owner: "superuser")
        bench.call(.getAddress(.v4, hostile), from: .named)
        bench.call(
            .getPort(Mapping(program: .mountd, version: 3, protocolNumber: 6, port: 65_536)), from: .named, xid: 8)
        #expect(
            bench.asked.map(\.call) == [
                .getPort(Mapping(program: .mountd, version: 3, protocolNumber: 17, port: 0)),
                .getPort(Mapping(program: .mountd, version: 3, protocolNumber: 6, port: 0)),
            ])
    }

    @Test("a service bound to one address is told with that address")
    func boundToOneAddress() {
        let bench = Bench.started(Self.mountRules, registering: [RPCB(.mountd, 3, .tcp, "10.9.9.9.78.80")])
        #expect(
            bench.ask(.address(of: .mountd), from: .named.over(.tcp)) == [
                PortmapperResult.address("10.9.9.9.78.80").body
            ])
    }

    @Test("rpcbind's silence denies the call", arguments: [Peer.named, .loopback])
    func rpcbindDown(peer: Peer) {
        let bench = Bench.started(Self.mountRules)
        bench.rpcbind.isDown = true
        #expect(bench.ask(.port(of: .mountd), from: peer) == [authError])
        #expect(bench.denials == [.rpcbindDown])
        #expect(bench.isQuiet)
    }

    @Test("an answer of the wrong kind is no answer")
    func wrongKind() {
        let bench = Bench.started(Self.mountRules)
        bench.holdsQuestions = true
        for (index, result) in [RpcbindAnswer.registration(true), .port(70_000), .registry(Listing())].enumerated() {
            bench.call(.port(of: .mountd), from: .named, xid: UInt32(index))
            bench.handle {
                $0.answered(.port(of: .mountd), with: .success(result), at: $1, into: &$2)
            }
        }
        #expect(bench.replies.map(\.reply.body) == [authError, authError])
        bench.answerAll()
        #expect(bench.replies.last?.reply.body == PortmapperResult.port(20048).body, "no port at all: read anew")
    }

    @Test("an answer that the snapshot lacks is explained by a new one")
    func newService() {
        let bench = Bench.started([.sample(to: [.quota])])
        bench.rpcbind.registrations += RPCB.everywhere(.quota, 1, port: 875)
        #expect(bench.ask(.port(of: .quota), from: .named) == [PortmapperResult.port(875).body])
        #expect(bench.asked == [.port(of: .quota), .registry])
        #expect(bench.kernel.guarded.contains(.tcp(875)))
    }

    @Test("an answer that no registration explains is told to nobody")
    func unexplained() {
        let bench = Bench.started([.sample(to: [.quota])])
        bench.holdsQuestions = true
        bench.call(.port(of: .quota), from: .named)
        bench.handle {
            $0.answered(.port(of: .quota), with: .success(.port(1111)), at: $1, into: &$2)
        }
        bench.holdsQuestions = false
        bench.answerAll()
        #expect(bench.replies.map(\.reply.body) == [PortmapperResult.port(0).body])
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.isQuiet)
    }

    @Test("a reload while the registry is read for an answer leaves the call its reply")
    func reloadMeanwhile() {
        let bench = Bench.started([.sample(to: [.quota])])
        bench.holdsQuestions = true
        bench.rpcbind.registrations += RPCB.everywhere(.quota, 1, port: 875)
        bench.call(.port(of: .quota), from: .named)
        bench.answerOne()
        bench.reload([.sample(to: [.quota, .nfs])])
        bench.holdsQuestions = false
        bench.answerAll()
        #expect(bench.replies.map(\.reply.body) == [PortmapperResult.port(875).body])
        #expect(bench.isQuiet)
    }

    @Test("when the registry can't be read, an unexplained answer is denied")
    func registryDown() {
        let bench = Bench.started([.sample(to: [.quota])])
        bench.holdsQuestions = true
        bench.call(.port(of: .quota), from: .named)
        bench.handle {
            $0.answered(.port(of: .quota), with: .success(.port(875)), at: $1, into: &$2)
        }
        bench.loseAll()
        #expect(bench.replies.map(\.reply.body) == [authError])
        #expect(bench.denials == [.rpcbindDown])
    }
}
