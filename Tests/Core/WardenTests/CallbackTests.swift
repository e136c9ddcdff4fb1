import Addresses
import AuditTrail
import Calls
import Configuration
import CoreSamples
import Firewall
import Gate
import ONCRPC
import Policy
import Portmapper
import TestSupport
import Testing

@testable import Exchanges
@testable import Warden

/// filer1 of ``ServerTests`` calls its client 10.1.0.7 back.
@Suite("callbacks of servers to their clients") struct CallbackTests {
    private static let client = ip("10.1.0.7")
    private static let client6 = ip("2001:db8:1::7")
    private static let id = ServerTests.id
    private static let locking = rule([.nlockmgr])

    private static func rule(
        _ programs: Set<Program>, at scope: ServerScope = .servers(["filer1"]), open: Opening = .onLookup
    ) -> Rule {
        var rule = Rule.sample(to: programs, open: open)
        rule.at = scope
        return rule
    }

    private static func bench(_ rules: [Rule] = [locking], settings: Settings = ServerTests.settings) -> Bench {
        let bench = ServerTests.bench(rules, settings: settings)
        bench.clientPorts[client] = [.nlockmgr: 4045, .status: 662]
        bench.clientPorts[client6] = [.nlockmgr: 4045]
        return bench
    }

    private static func filer(
        _ transport: Transport = .udp, asking asked: IPAddress = client, from address: String = "10.91.2.2",
        port: UInt16 = 700
    ) -> Peer {
        .from(address, transport, port: port, asking: asked, isIntercepted: true)
    }

    private static func key(_ service: ServicePort, _ id: ServerID = id, of client: IPAddress = client) -> GrantKey {
        GrantKey(client: client, service: service.at(id.callback))
    }

    @Test("a grant for a callback is none of this host's: what the client holds here is over for the fleet without it")
    func isNotShared() {
        let settings = ServerTests.settings.with {
            $0.fleet = Settings.Fleet()
            $0.fleet?.pair = Settings.Fleet.Pair()
            $0.fleet?.pair?.name = "nas"
        }
        let bench = Self.bench([.sample(from: ["10.1.0.0/16"], to: [.nlockmgr]), Self.locking], settings: settings)
        bench.rpcbind.registrations = RPCB.ownPlaces + RPCB.everywhere(.nlockmgr, 4, port: 32803)
        bench.refresh()
        bench.call(.port(of: .nlockmgr), from: Peer.from(Self.client.description, .tcp))
        bench.call(.port(of: .nlockmgr), from: Self.filer(.tcp))
        #expect(bench.kernel.granted.count == 2)
        bench.rpcbind.registrations = RPCB.ownPlaces
        bench.refresh()
        #expect(bench.kernel.granted.count == 1)
        #expect(bench.sharedGrants(fromPlace: 1 << 32, count: 10).messages.count == 1)
    }

    // MARK: Elements

    @Test("each own address of a server may ask the clients of its family that may have nlockmgr opened there")
    func callers() {
        let bench = Self.bench()
        let clients = AddressRange(ip("10.1.0.0"), ip("10.1.255.255"))
        let clients6 = AddressRange(ip("2001:db8:1::"), ip("2001:db8:1:ffff:ffff:ffff:ffff:ffff"))
        #expect(
            bench.kernel.callers == [
                CallersKey(server: ServerID(rawValue: 1), clients: clients),
                CallersKey(server: ServerID(rawValue: 2), clients: clients),
                CallersKey(server: ServerID(rawValue: 3), clients: clients6),
            ])
        bench.reload([Self.rule([.nlockmgr], at: .servers(["filer2"]))])
        #expect(bench.kernel.callers == [CallersKey(server: ServerID(rawValue: 5), clients: clients)])
        for none in [[Self.rule([.mountd])], [Self.rule([.nlockmgr], open: .never)], [.sample(to: [.nlockmgr])]] {
            bench.reload(none)
            #expect(bench.kernel.callers.isEmpty)
        }
        bench.reload([Self.rule([.nlockmgr], open: .always)])
        #expect(bench.kernel.callers.count == 3)
        #expect(Self.bench(settings: Self.off).kernel.callers.isEmpty)
    }

    private static let off = ServerTests.settings.with { $0.gateway?.servers[0].callbacks = .off }

    @Test("the elements are back after the table was flushed, and after a restart")
    func restored() {
        let bench = Self.bench()
        let callers = bench.kernel.callers
        bench.kernel.flush()
        bench.handle { $0.tableChanged([.overrun], at: $1, into: &$2) }
        bench.advance(by: .seconds(1))
        #expect(bench.kernel.callers == callers)
        let next = Bench([Self.locking], settings: ServerTests.settings)
        next.kernel = bench.kernel
        next.start()
        #expect(next.kernel.callers == callers)
    }

    // MARK: Look-ups

    @Test(
        "the client's portmapper is asked, and its port opens for the server that asked",
        arguments: [Transport.tcp, .udp])
    func lookUp(over transport: Transport) throws {
        let bench = Self.bench()
        bench.audit = { action, bench in
            if case .reply = action { #expect(bench.kernel.granted.count == 1) }
        }
        let peer = Self.filer(transport)
        #expect(bench.ask(.port(of: .nlockmgr, version: 4), from: peer) == [PortmapperResult.port(4045).body])
        #expect(bench.asked == [] && bench.askedServers == [] && bench.called == [])
        let question = try #require(bench.clientQuestions.first)
        #expect(bench.clientQuestions.count == 1)
        #expect(question.client == Self.client && question.transport == transport && question.version == 4)
        #expect(question.call == .port(of: .nlockmgr, version: 4))
        #expect(bench.kernel.granted.keys.map { $0 } == [Self.key(.tcp(4045))])
        #expect(bench.kernel.guarded.allSatisfy { !$0.server.isCallback })
        #expect(bench.isQuiet)
        for event in bench.events(.granted) + bench.events(.permitted) {
            #expect(event.client == Self.client && event.server == "filer1" && event.rule == "callbacks of filer1")
            #expect(event.isOfCallback)
        }
        #expect(bench.events(.permitted).map(\.detail) == ["asked by filer1 at 10.91.2.2"])
        #expect(bench.events(.permitted).map(\.port) == [nil])
        #expect(bench.events(.granted).map(\.detail) == ["a port of the client, for filer1"])
        #expect(bench.replies.map(\.peer) == [peer])
    }

    @Test("GETADDR and GETVERSADDR are answered with the client's address, over the netid of the call")
    func addresses() {
        let bench = Self.bench()
        #expect(
            bench.ask(.address(of: .status), from: Self.filer()) == [
                PortmapperResult.address("10.1.0.7.2.150").body
            ])
        let six = Self.filer(.tcp, asking: Self.client6, from: "fd91:2::2")
        let rpcb = RPCB(.nlockmgr, 4, .tcp6, "")
        #expect(
            bench.ask(.getVersionAddress(rpcb), from: six, xid: 8) == [
                PortmapperResult.address("2001:db8:1::7.15.205").body
            ])
        #expect(
            Set(bench.kernel.granted.keys) == [
                Self.key(.udp(662)), Self.key(.tcp(4045), ServerID(rawValue: 3), of: Self.client6),
            ])
        var anonymous = rpcb
        anonymous.owner = ""
        #expect(bench.clientQuestions.last?.call == .getAddress(.v3, anonymous))
        // Version 2 knows nothing of IPv6.
        #expect(bench.ask(.port(of: .nlockmgr), from: six, xid: 9) == [PortmapperResult.port(0).body])
        #expect(bench.clientQuestions.count == 2)
    }

    @Test("NULL is answered, and a program that the client hasn't registered, without a grant")
    func unregistered() {
        let bench = Self.bench()
        #expect(bench.ask(.null(.v2), from: Self.filer()) == [PortmapperResult.void.body])
        #expect(bench.clientQuestions.isEmpty)
        bench.clientPorts[Self.client] = [:]
        #expect(bench.ask(.port(of: .status), from: Self.filer(), xid: 8) == [PortmapperResult.port(0).body])
        #expect(bench.kernel.granted.isEmpty && bench.isQuiet)
    }

    @Test("a client that doesn't answer is silent towards the server", arguments: [Transport.tcp, .udp])
    func down(over transport: Transport) {
        let bench = Self.bench()
        bench.clientPorts = [:]
        #expect(bench.ask(.port(of: .nlockmgr), from: Self.filer(transport)) == [])
        #expect(bench.denials == [.rpcbindDown])
        #expect(bench.closed.isEmpty == (transport == .udp))
        #expect(bench.isQuiet)
    }

    // MARK: Denials

    @Test("all other programs and procedures are denied, and nobody is asked")
    func denied() {
        let bench = Self.bench()
        let denied: [(PortmapperCall, DenialReason)] = [
            (.port(of: .mountd), .noRule), (.port(of: .portmapper), .noRule), (.address(of: .nfs), .noRule),
            (.dump(.v2), .notServed), (.getAddressList(RPCB(.nlockmgr, 4, .udp, "")), .notServed),
            (.getTime(.v4), .notServed), (.set(.v4, RPCB(.nlockmgr, 4, .udp, "10.1.0.7.1.1")), .remoteRegistration),
            (.indirect(RemoteCall(program: .nlockmgr, version: 4, procedure: 0)), .remoteCall),
        ]
        for (call, reason) in denied {
            bench.forget()
            #expect(bench.ask(call, from: Self.filer()) == [authError], "\(call)")
            #expect(bench.denials == [reason])
            let event = bench.events(.denied).first
            #expect(event?.client == Self.client && event?.server == "filer1" && event?.isOfCallback == true)
        }
        #expect(bench.clientQuestions.isEmpty && bench.kernel.granted.isEmpty)
    }

    @Test("a client that policy doesn't name any more is not asked, also if its packets are still intercepted")
    func noClient() {
        let bench = Self.bench()
        let elsewhere = Self.filer(asking: ip("10.2.0.1"))
        #expect(bench.ask(.port(of: .nlockmgr), from: elsewhere) == [authError])
        #expect(bench.denials == [.noRule])
        #expect(bench.clientQuestions.isEmpty)
    }

    @Test("a call to this host, or to another server, is no callback; nor one of a server without callbacks")
    func others() {
        let bench = Self.bench()
        // This host is among the clients that may lock, and was asked itself.
        #expect(bench.ask(.port(of: .nlockmgr), from: .from("10.91.2.2", asking: Peer.server)) == [])
        #expect(bench.denials == [.stranger])
        #expect(bench.ask(.port(of: .nlockmgr), from: Self.filer(asking: ServerTests.other), xid: 8) == [])
        #expect(bench.events(.denied).last?.server == "filer2")
        #expect(bench.ask(.port(of: .nlockmgr), from: Self.filer(from: "10.91.3.3"), xid: 9) == [authError])
        #expect(bench.ask(.port(of: .nlockmgr), from: Self.filer(from: "192.0.2.80"), xid: 10) == [])
        #expect(bench.clientQuestions.isEmpty)
        let without = Self.bench(settings: Self.off)
        #expect(without.ask(.port(of: .nlockmgr), from: Self.filer()) == [])
        #expect(without.denials == [.stranger] && without.clientQuestions.isEmpty)
    }

    @Test("a port of `never`, and 111, stay shut")
    func never() {
        let bench = Self.bench()
        for port: UInt16 in [22, 111] {
            bench.clientPorts[Self.client] = [.nlockmgr: port]
            #expect(bench.ask(.port(of: .nlockmgr), from: Self.filer(), xid: UInt32(port)) == [authError])
            #expect(bench.denials.last == .neverPort)
        }
        #expect(bench.kernel.granted.isEmpty)
    }

    @Test("a server that calls back has the rates of a known peer, and is never quarantined")
    func rates() {
        let bench = Self.bench(settings: ServerTests.settings.with { $0.quarantine?.includesListed = true })
        for number in 0..<300 {
            bench.call(.dump(.v2), from: Self.filer(.tcp), xid: UInt32(number))
            bench.advance(by: .milliseconds(30))
        }
        #expect(bench.kernel.quarantined.isEmpty)
        #expect(bench.denials.allSatisfy { $0 == .notServed })
        for number in 0..<300 { bench.call(.dump(.v2), from: Self.filer(), xid: UInt32(number)) }
        #expect(bench.loop.warden.counters.denied[.rate, default: 0] > 50)
        #expect(bench.kernel.quarantined.isEmpty && bench.kernel.shielded.isEmpty)
    }

    // MARK: Questions

    @Test("equal questions share an answer that is no older than they are")
    func shared() {
        let bench = Self.bench()
        bench.holdsClients = true
        for port: UInt16 in 700..<703 {
            bench.call(.port(of: .nlockmgr), from: Self.filer(port: port), xid: UInt32(port))
        }
        bench.call(.port(of: .nlockmgr), from: Self.filer(port: 700), xid: 700)
        #expect(bench.clientQuestions.count == 1)
        bench.answerClients()
        #expect(bench.replies.count == 1 && bench.clientQuestions.count == 2)
        bench.answerClients()
        #expect(bench.replies.count == 3 && bench.clientQuestions.count == 2)
        #expect(bench.isQuiet && bench.kernel.granted.count == 1)
    }

    @Test("the questions to one client are bounded, and to all; datagrams leave half of them to TCP")
    func bounded() {
        let bench = Self.bench()
        bench.holdsClients = true
        for version: UInt32 in 0..<20 {
            bench.call(.port(of: .nlockmgr, version: version), from: Self.filer(), xid: version)
        }
        #expect(bench.clientQuestions.count == ClientQuestions.questionsPerClientMax / 2)
        #expect(bench.denials.allSatisfy { $0 == .rate } && bench.denials.count == 16)
        bench.call(.port(of: .nlockmgr), from: Self.filer(.tcp), xid: 99)
        #expect(bench.clientQuestions.last?.transport == .tcp)
        for number: UInt32 in 0..<300 {
            let client = IPAddress.v4(0x0a01_0100 + number)
            bench.call(.port(of: .nlockmgr), from: Self.filer(asking: client), xid: 1000 + number)
            bench.advance(by: .milliseconds(20))
        }
        #expect(bench.clientQuestions.count == ClientQuestions.questionsMax / 2 + 1)
        bench.answerClients()
        #expect(bench.isQuiet)
    }

    // MARK: The life of a grant

    @Test("a callback ends with its client's permission, and the flows with it", arguments: [true, false])
    func revoked(isServerUp: Bool) {
        let bench = Self.bench()
        _ = bench.ask(.port(of: .nlockmgr), from: Self.filer(.tcp))
        if !isServerUp { bench.portmappers[1] = nil }
        bench.portmappers[1]?.registrations = []
        bench.advance(by: .seconds(5))
        #expect(bench.kernel.granted.count == 1, "it needs no registration at the server")
        bench.reload([Self.rule([.mountd])])
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.events(.revoked).map(\.server) == ["filer1"])
        #expect(bench.events(.revoked).map(\.client) == [Self.client])
        #expect(bench.cut.contains { $0.service == Self.key(.tcp(4045)).service })
        #expect(bench.kernel.remembered.isEmpty)
    }

    @Test("an operator revokes it with the client's other grants")
    func operatorRevokes() {
        let bench = Self.bench()
        _ = bench.ask(.port(of: .nlockmgr), from: Self.filer(.tcp))
        bench.handle { _ = $0.revoke(client: Self.client, port: nil, transport: nil, at: $1, into: &$2) }
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.cut.map(\.service) == [Self.key(.tcp(4045)).service])
    }

    @Test("an expired callback is not remembered: the server asks again")
    func expired() throws {
        let bench = Self.bench()
        _ = bench.ask(.port(of: .nlockmgr), from: Self.filer(.tcp))
        let snapshot = bench.loop.warden.guardToSave(at: bench.now)
        #expect(try #require(snapshot).saved(at: nil).remembered.isEmpty)
        for _ in 0..<30 { bench.advance(by: .seconds(3600)) }
        #expect(bench.kernel.granted.isEmpty && bench.events(.expired).count == 1)
        #expect(bench.kernel.remembered.isEmpty)
    }

    @Test("a daemon that starts again adopts callbacks, and revokes those that policy no longer permits")
    func adopted() {
        for (rules, settings, stays) in [
            ([Self.locking], ServerTests.settings, true), ([Self.rule([.mountd])], ServerTests.settings, false),
            ([Self.locking], Self.off, false),
        ] {
            let bench = Self.bench()
            _ = bench.ask(.port(of: .nlockmgr), from: Self.filer(.tcp))
            let next = Bench(rules, settings: settings)
            next.kernel = bench.kernel
            next.start()
            #expect(next.kernel.granted.isEmpty == !stays)
            #expect(next.events(.revoked).count == (stays ? 0 : 1))
        }
    }

    @Test("a call under way is answered by the policy that is in force at the answer")
    func reloaded() {
        let bench = Self.bench()
        bench.holdsClients = true
        bench.call(.port(of: .nlockmgr), from: Self.filer())
        bench.reload([Self.rule([.nlockmgr, .status])])
        bench.answerClients()
        #expect(bench.replies.map(\.reply.body) == [PortmapperResult.port(4045).body])
        #expect(bench.kernel.granted.count == 1)
        bench.call(.port(of: .status), from: Self.filer(), xid: 9)
        bench.reload([Self.rule([.mountd])])
        bench.answerClients()
        #expect(bench.replies.last?.reply.body == authError)
        #expect(bench.kernel.granted.isEmpty && bench.isQuiet)
    }

    // MARK: Observe mode

    @Test("observe mode asks the client for any program, and opens what enforce mode would")
    func observe() {
        let bench = Self.bench(settings: ServerTests.settings.with { $0.mode = .observe })
        bench.clientPorts[Self.client]?[.mountd] = 20048
        #expect(bench.ask(.port(of: .mountd), from: Self.filer()) == [PortmapperResult.port(20048).body])
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.events(.denied).map(\.isEnforced) == [false])
        #expect(bench.ask(.port(of: .nlockmgr), from: Self.filer(), xid: 8) == [PortmapperResult.port(4045).body])
        #expect(bench.kernel.granted.count == 1)
    }

    @Test("a client's port that a reload spares is closed to the server again")
    func spared() {
        let bench = Self.bench()
        bench.call(.port(of: .nlockmgr, version: 4), from: Self.filer())
        #expect(bench.kernel.granted.count == 1)
        bench.reload([Self.locking], settings: ServerTests.settings.with { $0.firewall.never.insert(4045) })
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.events(.revoked).map(\.detail) == ["no longer permitted"])
    }

    @Test("a client for which policy never opens nlockmgr at the server is not called back")
    func neverOpened() {
        let bench = Self.bench([Self.rule([.nlockmgr], open: .never)])
        #expect(bench.ask(.port(of: .nlockmgr, version: 4), from: Self.filer(.tcp)) == [authError])
        #expect(bench.clientQuestions.isEmpty && bench.kernel.granted.isEmpty)
        #expect(bench.denials == [.noRule])
    }
}
