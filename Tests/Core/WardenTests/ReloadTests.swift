import Addresses
import Configuration
import CoreSamples
import Firewall
import ONCRPC
import Policy
import Portmapper
import Testing

@testable import Warden

@Suite("reload") struct ReloadTests {
    @Test(
        "what the new policy no longer permits is revoked at once, and its flows end; the rest is untouched",
        arguments: [
            [], [Rule.sample(to: [.nfs])], [.sample(from: ["10.9.0.0/16"])], [.sample(over: [.udp])],
            [.sample(open: .never)],
            [.sample(except: ["10.1.2.3"])],
        ] as [[Rule]])
    func revoked(rules: [Rule]) {
        let bench = Bench.started([.sample()])
        bench.call(.port(of: .mountd), from: .named)
        bench.reload([.sample("renamed")])
        #expect(bench.kernel.granted.count == 1)
        #expect(bench.cut == [])
        bench.reload(rules)
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.cut == [.init(clients: range("10.1.2.3"), service: .tcp(20048))])
        #expect(bench.events(.revoked).map(\.detail) == ["no longer permitted"])
        #expect(bench.isQuiet)
    }

    @Test("a port that joins the never list is closed, unguarded and told no more")
    func never() {
        let bench = Bench.started([.sample()])
        bench.call(.port(of: .mountd), from: .named)
        bench.reload([.sample()], settings: Settings().with { $0.firewall.never = [22, 111, 20048] })
        #expect(bench.kernel.granted.isEmpty)
        #expect(!bench.kernel.guarded.contains(.tcp(20048)))
        #expect(bench.ask(.port(of: .mountd), from: .named) == [authError])
    }

    @Test("a call under way is answered by the new policy, at each step of its way")
    func underWay() {
        for step in 0..<3 {
            let bench = Bench.started([.sample(to: [.quota])])
            bench.rpcbind.registrations += RPCB.everywhere(.quota, 1, port: 875)
            bench.holdsQuestions = true
            bench.call(.port(of: .quota), from: .named)
            // Step 0: the question is asked; step 1: waiting for the registry; step 2: waiting for a kernel that
            // fails.
            if step > 0 { bench.answerOne() }
            if step > 1 {
                bench.kernel.refusals = [.broken, .broken]
                bench.answerOne()
                bench.handle { $0.flush(at: $1, into: &$2) }
                bench.call(.port(of: .quota), from: .named, xid: 8)
                bench.answerAll()
            }
            bench.reload([.sample(to: [.nfs])])
            bench.holdsQuestions = false
            bench.answerAll()
            bench.advance(by: .seconds(1))
            #expect(Set(bench.replies.map(\.reply.body)) == [authError])
            #expect(bench.denials.last == .noRule)
            #expect(bench.kernel.granted.isEmpty)
            #expect(bench.isQuiet)
        }
    }

    @Test("a grant that was on its way when its mapping vanished is revoked again")
    func mappingVanishes() {
        let bench = Bench.started([.sample()])
        bench.holdsQuestions = true
        bench.call(.port(of: .mountd), from: .named)
        bench.answerOne()
        // The answer has been processed; the transaction is still to come.
        bench.rpcbind.registrations = []
        bench.handle { warden, now, actions in warden.ask(.registry, of: 0, for: .refresh, at: now, into: &actions) }
        bench.answerAll()
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.loop.warden.grantCount == 0)
        #expect(bench.isQuiet)
    }

    @Test(
        "clients whose standing access ends have their flows cut, even where the table is made anew",
        arguments: [false, true])
    func standingEnds(remakes: Bool) {
        let bench = Bench.started([.sample(from: ["10.1.0.0/16"], over: [.tcp], open: .always)])
        bench.forget()
        bench.reload([], settings: Settings().with { if remakes { $0.firewall.mark = 0 } })
        #expect(bench.kernel.standing == [])
        #expect(bench.cut == [.init(clients: range("10.1.0.0/16"), service: .tcp(20048))])
    }

    @Test(
        "a port that passes to another program has its flows cut: what was admitted was not meant for that one",
        arguments: [false, true])
    func replaced(isUnregisteredBetween: Bool) {
        let bench = Bench.started(registering: [RPCB(.mountd, 3, .udp, port: 4000)])
        bench.forget()
        if isUnregisteredBetween {
            bench.rpcbind.registrations = []
            bench.refresh()
        }
        bench.rpcbind.registrations = [RPCB(.quota, 1, .udp, port: 4000)]
        bench.refresh()
        #expect(bench.kernel.guarded == [.udp(4000)])
        #expect(bench.cut == [AddressRange.allIPv4, .allIPv6].map { .init(clients: $0, service: .udp(4000)) })
    }

    @Test("a service that comes back to its port, or that another one joins, keeps its flows")
    func cameBack() {
        let bench = Bench.started(registering: [RPCB(.mountd, 3, .udp, port: 4000)])
        bench.forget()
        bench.rpcbind.registrations = []
        bench.refresh()
        bench.rpcbind.registrations = [RPCB(.mountd, 3, .udp, port: 4000), RPCB(.quota, 1, .udp, port: 4000)]
        bench.refresh()
        #expect(bench.kernel.guarded == [.udp(4000)])
        #expect(bench.cut == [])
    }

    @Test("another shape makes the table anew, with its elements and grants")
    func shape() {
        let bench = Bench.started([.sample()])
        bench.call(.port(of: .mountd), from: .named)
        let (guarded, granted) = (bench.kernel.guarded, Set(bench.kernel.granted.keys))
        bench.forget()
        bench.reload([.sample()], settings: .observing)
        #expect(bench.kernel.committed.count == 1)
        #expect(bench.kernel.shape?.observes == true)
        #expect((bench.kernel.guarded, Set(bench.kernel.granted.keys)) == (guarded, granted))
        #expect(bench.cut == [])
    }

    @Test("opening removes the table; of `manage: sets`, which holds the administrator's chains, only what is guarded")
    func opening() {
        let registered = [NetID.tcp, .udp].map { RPCB(.mountd, 3, $0, port: 20048) }
        let bench = Bench.started([.sample()], registering: registered)
        #expect(bench.loop.warden.gate.opening.operations == [.deleteTable(name: "rpcwarden")])
        bench.reload([.sample()], settings: Settings().with { $0.firewall.management = .sets })
        #expect(bench.loop.warden.gate.opening.operations == [.unguardPort(.tcp(20048)), .unguardPort(.udp(20048))])
    }

    @Test("a longer keep doesn't make an old grant look fresh")
    func longerKeep() {
        let bench = Bench.started([.sample()], settings: Settings().with { $0.firewall.keep = .seconds(60) })
        bench.call(.port(of: .mountd), from: .named)
        bench.advance(by: .seconds(59))
        bench.reload([.sample()], settings: Settings())
        #expect(bench.ask(.port(of: .mountd), from: .named, xid: 8) == [.mountPort])
        bench.advance(by: .seconds(10))
        #expect(bench.kernel.granted[.mount] != nil)
    }

    @Test("a shorter keep is kept count of", arguments: Transport.allCases)
    func shorterKeep(transport: Transport) {
        let bench = Bench.started([.sample()])
        bench.call(.port(of: .mountd), from: .named.over(transport))
        bench.reload([.sample()], settings: Settings().with { $0.firewall.keep = .seconds(60) })
        bench.advance(by: .seconds(61))
        #expect(bench.kernel.granted.isEmpty)
        #expect((bench.loop.warden.grantCount, bench.events(.expired).count) == (0, 1))
    }

    @Test("fewer grants than there are: those that would expire first go, and the table is made")
    func fewerGrants() {
        let bench = Bench.started([.sample()])
        for client in 1...5 {
            bench.call(.port(of: .mountd), from: .from("10.1.2.\(client)"))
            bench.advance(by: .seconds(1))
        }
        bench.reload([.sample()], settings: Settings().with { $0.limits.grants = 2 })
        #expect(bench.loop.warden.isGuarding == true)
        #expect(
            Set(bench.kernel.granted.keys) == [GrantKey("10.1.2.4", .tcp(20048)), GrantKey("10.1.2.5", .tcp(20048))])
        #expect(bench.events(.revoked).map(\.detail) == ["limits.grants", "limits.grants", "limits.grants"])
        #expect(bench.isQuiet)
    }

    @Test("new limits count from now on")
    func limits() {
        let bench = Bench.started([.sample()])
        bench.reload([.sample()], settings: Settings().with { $0.limits.callsPerSecond = 1 })
        for xid in 0..<5 { bench.call(.null(.v2), from: .named, xid: UInt32(xid)) }
        #expect(bench.denials == [.rate])
    }

    @Test("ports to guard are guarded at once, also while rpcbind is down")
    func guardPorts() {
        let bench = Bench()
        bench.rpcbind.isDown = true
        bench.start()
        bench.reload(
            [],
            settings: Settings().with {
                $0.firewall.guardPorts = [.init(.udp, 32_765...32_766), .init(.tcp, 21...23)]
            })
        #expect(bench.kernel.guarded == [.udp(32_765), .udp(32_766), .tcp(21), .tcp(23)])
    }

    @Test("a look-up of several services that is under way opens those that the new policy permits, and no other")
    func underWayAtSeveral() {
        func rule(over transports: Set<Transport>) -> Rule {
            var rule = Rule.sample(over: transports)
            rule.at = .servers(["filer1"])
            return rule
        }
        let bench = ServerTests.bench([rule(over: [.tcp, .udp])])
        bench.holdsCalls = true
        bench.call(.addressList(of: .mountd), from: ServerTests.client(asking: ServerTests.first, .tcp))
        #expect(Set(bench.called.map(\.service.transport)) == [.tcp, .udp])
        bench.answerCalls()
        bench.reload([rule(over: [.tcp])])
        bench.answerCalls()
        #expect(bench.events(.granted).map(\.granted) == [.tcp(20048).at(ServerTests.id)])
        #expect(bench.kernel.granted.count == 1)
    }
}
