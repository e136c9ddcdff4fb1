import Firewall
import ONCRPC
import Policy
import Portmapper
import Testing

@testable import Warden

private let authError = Reply.Body.authError(.failed)
private let mountPort = PortmapperResult.port(20048).body
private let key = GrantKey("10.1.2.3", .tcp(20048))
private let broken = CommitFailure(errno: ModelKernel.notPermitted, message: "Operation not permitted")

@Suite("grant") struct GrantTests {
    static let mountRules = [Rule.sample()]

    @Test("nothing is told, and nothing granted, when the kernel refuses twice; the table is tried anew in between")
    func refusedTwice() {
        var bench = Bench.started(Self.mountRules)
        bench.kernel.refusals = [broken, broken]
        #expect(bench.ask(.port(of: .mountd), from: .named) == [authError])
        #expect(bench.denials == [.firewallFailed])
        #expect(bench.events(.denied).first?.detail == "Operation not permitted")
        #expect((bench.kernel.granted.count, bench.warden.grantCount) == (0, 0))
        #expect(bench.warden.isGuarding == false)
        bench.advance(by: .milliseconds(250))
        #expect(bench.warden.isGuarding)
        #expect(bench.ask(.port(of: .mountd), from: .named) == [mountPort])
        #expect(bench.isQuiet)
    }

    @Test("a first failure makes the table anew, with all grants, before anybody is refused")
    func refusedOnce() {
        var bench = Bench.started(Self.mountRules)
        bench.call(.port(of: .mountd), from: .from("10.1.9.9"))
        bench.kernel.refusals = [broken]
        #expect(bench.ask(.port(of: .mountd), from: .named) == [mountPort])
        #expect(bench.denials == [])
        #expect(bench.kernel.granted.count == 2)
    }

    @Test("a table that somebody flushed is put back by the next lookup, though the kernel names the grant")
    func flushed() {
        var bench = Bench.started(Self.mountRules)
        bench.call(.port(of: .mountd), from: .from("10.1.9.9"))
        bench.kernel.flush()
        #expect(bench.ask(.port(of: .mountd), from: .named) == [mountPort])
        #expect(bench.kernel.granted.count == 2)
        #expect(bench.kernel.guarded == [.tcp(20048), .udp(20048), .tcp(2049), .udp(2049), .tcp(662), .udp(662)])
    }

    @Test("a full set refuses just the grant that is named", arguments: [23, 28] as [Int32])
    func full(errno: Int32) {
        var bench = Bench.started(Self.mountRules)
        bench.holdsQuestions = true
        bench.call(.port(of: .mountd), from: .from("10.1.1.1"))
        for client in 2...4 { bench.call(.port(of: .mountd), from: .from("10.1.1.\(client)")) }
        bench.answerOne()
        bench.answerOne()
        bench.kernel.refusals = [CommitFailure(errno: errno, message: "full", operation: 1)]
        bench.handle { $0.flush(at: $1, into: &$2) }
        #expect(bench.replies.count { $0.reply.body == authError } == 1)
        #expect(bench.replies.count { $0.reply.body == mountPort } == 3)
        #expect(bench.denials == [.grantsFull])
        #expect(bench.kernel.granted.count == 3)
    }

    @Test("a grant that is refused for another reason takes no others with it")
    func refusedAlone() {
        var bench = Bench.started(Self.mountRules)
        bench.holdsQuestions = true
        bench.call(.port(of: .mountd), from: .from("10.1.1.1"))
        for client in 2...4 { bench.call(.port(of: .mountd), from: .from("10.1.1.\(client)")) }
        bench.answerOne()
        bench.answerOne()
        // The second transaction makes the table and guards six ports first.
        let named = { CommitFailure(errno: 22, message: "Invalid argument", operation: $0) }
        bench.kernel.refusals = [named(1), named(7)]
        bench.handle { $0.flush(at: $1, into: &$2) }
        #expect(bench.denials == [.firewallFailed])
        #expect(bench.kernel.granted.count == 3)
        #expect(bench.isQuiet)
    }

    @Test("a client has no more than grants-per-client, and new clients no more than grants, but renewals pass")
    func limits() {
        let settings = Settings().with { ($0.limits.grantsPerClient, $0.limits.grants) = (2, 3) }
        let all: Set<Program> = [.mountd, .nfs, .status]
        var bench = Bench.started([.sample(to: all)], settings: settings)
        #expect(bench.ask(.port(of: .mountd), from: .named.over(.tcp)) == [mountPort])
        #expect(bench.ask(.port(of: .nfs), from: .named.over(.tcp)) == [PortmapperResult.port(2049).body])
        #expect(bench.ask(.port(of: .status), from: .named.over(.tcp)) == [authError])
        #expect(bench.ask(.port(of: .mountd), from: .from("10.1.2.4", .tcp)) == [mountPort])
        #expect(bench.ask(.port(of: .mountd), from: .from("10.1.2.5", .tcp)) == [authError])
        #expect(bench.denials == [.grantsFull, .grantsFull])
        bench.advance(by: .seconds(50_000))
        #expect(bench.ask(.port(of: .mountd), from: .named.over(.tcp)) == [mountPort])
        #expect(bench.warden.counters.renewed == 1)
    }

    @Test("a client that asks for many services at once has no more grants than one that asks in turn")
    func limitOfPipelining() {
        let settings = Settings().with { $0.limits.grantsPerClient = 2 }
        var bench = Bench.started([.sample(to: [.mountd, .nfs, .status])], settings: settings)
        bench.holdsQuestions = true
        for (xid, program) in [Program.mountd, .nfs, .status].enumerated() {
            bench.call(.port(of: program), from: .named, xid: UInt32(xid))
        }
        bench.answerAll()
        #expect(bench.denials == [.grantsFull])
        #expect(bench.kernel.granted.count == 2)
    }

    @Test("a fresh grant is told without asking the kernel; half of keep later it is renewed")
    func renewal() {
        var bench = Bench.started(Self.mountRules)
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        let commits = bench.kernel.committed.count
        bench.advance(by: .seconds(43_000))
        #expect(bench.ask(.port(of: .mountd), from: .named.over(.tcp)) == [mountPort])
        #expect(bench.kernel.committed.count == commits)
        bench.advance(by: .seconds(300))
        #expect(bench.ask(.port(of: .mountd), from: .named.over(.tcp)) == [mountPort])
        #expect(bench.kernel.committed.count == commits + 1)
        #expect(bench.events(.renewed).map(\.granted) == [.tcp(20048)])
    }

    @Test("a grant that no packet used expires, and says so once; one that was used lives on")
    func expiry() {
        var bench = Bench.started(Self.mountRules)
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        bench.call(.port(of: .mountd), from: .from("10.1.2.4", .tcp))
        bench.advance(by: .seconds(80_000))
        bench.kernel.packet(key)
        bench.advance(by: .seconds(6_401))
        #expect(bench.events(.expired).map(\.client) == [ip("10.1.2.4")])
        #expect(bench.warden.grantCount == 1)
        bench.advance(by: .seconds(80_000))
        bench.advance(by: .seconds(1))
        #expect(bench.events(.expired).map(\.client) == [ip("10.1.2.4"), ip("10.1.2.3")])
        #expect((bench.warden.grantCount, bench.warden.counters.expired) == (0, 2))
    }

    @Test(
        "a grant dies with its mapping, and its flows with it",
        arguments: [
            [], RPCB.everywhere(.mountd, 3, port: 4002), RPCB.everywhere(.quota, 1, port: 20048),
            RPCB.everywhere(.mountd, 3, port: 20048, owner: "1000"),
        ])
    func mappingGone(registrations: [RPCB]) {
        var bench = Bench.started(Self.mountRules)
        bench.call(.port(of: .mountd), from: .named)
        bench.forget()
        bench.rpcbind.registrations = registrations
        // Its socket is closed; where something listens there, it is another one.
        for service in [ServicePort.tcp(20048), .udp(20048)] where registrations.contains(where: { $0.owner == "1000" })
        {
            bench.silent[service] = ListenerState(ipv4: true, ipv6: true, uid: 1000, cookie: 2)
        }
        bench.refresh()
        #expect(bench.kernel.granted.isEmpty)
        #expect(
            bench.cut.filter { $0.clients == range("10.1.2.3") } == [
                .init(clients: range("10.1.2.3"), service: .tcp(20048))
            ])
        #expect(bench.events(.revoked).map(\.detail) == ["no longer registered"])
        #expect(bench.isQuiet)
    }

    @Test("a grant lives while one of the programs at its port is registered and permitted")
    func severalPrograms() {
        let both: Set<Program> = [.nfs, .nfsACL]
        let acl = RPCB.everywhere(.nfsACL, 3, port: 2049)
        var bench = Bench.started([.sample(to: both)], registering: .typical + acl)
        bench.holdsQuestions = true
        bench.call(.port(of: .nfs), from: .named, xid: 1)
        bench.call(.port(of: .nfsACL), from: .named, xid: 2)
        bench.answerAll()
        bench.holdsQuestions = false
        let grant = GrantKey("10.1.2.3", .tcp(2049))
        #expect(bench.warden.grant(grant)?.programs.all == both.sorted())
        #expect(bench.kernel.granted.count == 1)
        bench.rpcbind.registrations = acl
        bench.refresh()
        #expect(bench.kernel.granted.keys.map { $0 } == [grant])
        bench.reload([.sample(to: [.nfs])])
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.events(.revoked).map(\.detail) == ["no longer permitted"])
    }

    @Test("open: never tells the port and opens nothing; it hides no dead service")
    func openNever() {
        var bench = Bench.started([.sample(open: .never)])
        let commits = bench.kernel.committed.count
        #expect(bench.ask(.port(of: .mountd), from: .named) == [mountPort])
        #expect((bench.kernel.granted.count, bench.kernel.committed.count) == (0, commits))
    }

    @Test("open: always stands for its clients as long as the mapping stands")
    func openAlways() {
        var bench = Bench.started([.sample(from: ["10.1.0.0/16"], open: .always)])
        let standing: Set<StandingKey> = [.init("10.1.0.0/16", .tcp(20048)), .init("10.1.0.0/16", .udp(20048))]
        #expect(bench.kernel.standing == standing)
        #expect(bench.ask(.port(of: .mountd), from: .named) == [mountPort])
        #expect(bench.kernel.granted.isEmpty)
        bench.rpcbind.registrations = []
        bench.refresh()
        #expect((bench.kernel.standing, bench.kernel.guarded) == ([], []))
    }

    @Test("open: always for a range of programs stands for what of it is registered, as long as it is")
    func openAlwaysByRange() {
        var rule = Rule.sample(from: ["10.1.0.0/16"], to: [], open: .always)
        rule.programRanges = ProgramRanges([Program.transient])
        var bench = Bench.started([rule])
        #expect(bench.kernel.standing == [])
        let push = RPCB(Program(0x4000_0007), 1, .tcp, port: 1023)
        bench.rpcbind.registrations += [push, RPCB(Program(0x6000_0000), 1, .tcp, port: 1022)]
        bench.refresh()
        #expect(bench.kernel.standing == [.init("10.1.0.0/16", .tcp(1023))])
        #expect(
            bench.kernel.opens(.tcp(1023), to: ip("10.1.2.3")) && !bench.kernel.opens(.tcp(1022), to: ip("10.1.2.3")))
        #expect(bench.ask(.port(of: push.program, version: 1), from: .named) == [PortmapperResult.port(1023).body])
        #expect(bench.kernel.granted.isEmpty)
        bench.rpcbind.registrations.removeAll { $0 == push }
        bench.refresh()
        #expect(bench.kernel.standing == [])
    }

    @Test("a grant by a range ends when the policy's range no longer holds its program")
    func rangeShrinks() {
        var rule = Rule.sample(to: [])
        rule.programRanges = ProgramRanges([Program(100_001)...Program(100_010)])
        var bench = Bench.started([rule])
        #expect(bench.ask(.port(of: .mountd), from: .named) == [mountPort])
        #expect(bench.kernel.granted.count == 1)
        rule.programRanges = ProgramRanges([Program(100_006)...Program(100_010)])
        bench.reload([rule])
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.events(.revoked).map(\.detail) == ["no longer permitted"])
    }

    @Test("a standing port is told only once its element is acknowledged")
    func alwaysAcknowledged() {
        var bench = Bench.started([.sample(from: ["10.1.0.0/16"], open: .always)])
        bench.rpcbind.registrations = RPCB.everywhere(.mountd, 3, port: 4002)
        bench.audit = { action, bench in
            guard case .sendReply = action else { return }
            #expect(bench.kernel.opens(.tcp(4002), to: ip("10.1.2.3")))
        }
        #expect(bench.ask(.port(of: .mountd), from: .named) == [PortmapperResult.port(4002).body])
    }

    @Test("while the kernel takes its time, those are answered whom it doesn't concern, and the others when it is done")
    func kernelTakesItsTime() {
        let always = Rule.sample("always", from: ["10.1.0.0/16"], to: [.nfs], open: .always)
        let onLookup = Rule.sample("on lookup", from: ["10.1.0.0/16"], to: [.mountd])
        let stayed = Peer.named
        var bench = Bench.started([always, onLookup])
        let (nfs, mountd) = (PortmapperResult.port(2049).body, PortmapperResult.port(20048).body)
        #expect(bench.ask(.port(of: .mountd), from: stayed) == [mountd])
        bench.holdsCommits = true
        bench.reload([always, onLookup, .sample("more", from: ["10.9.0.0/16"], to: [.nfs], open: .always)])
        #expect(bench.ask(.port(of: .nfs), from: stayed) == [nfs])
        #expect(bench.ask(.port(of: .mountd), from: stayed) == [mountd])
        #expect(bench.ask(.port(of: .nfs), from: .from("10.9.0.1")) == [], "its range isn't acknowledged")
        #expect(bench.ask(.port(of: .mountd), from: .from("10.1.0.9")) == [], "its grant isn't there")
        bench.handle { _ = $0.revoke(client: stayed.address, port: nil, transport: nil, at: $1, into: &$2) }
        #expect(bench.ask(.port(of: .mountd), from: stayed, xid: 8) == [], "its grant goes next")
        bench.audit = { action, bench in
            guard case .sendReply(_, let peer) = action else { return }
            let port: UInt16 = peer == .from("10.9.0.1") ? 2049 : 20048
            #expect(bench.kernel.opens(.tcp(port), to: peer.address))
        }
        bench.forget()
        bench.releaseCommits()
        #expect(bench.replies.count == 3 && bench.isQuiet)
    }

    @Test("standing elements of several programs at one port don't overlap")
    func standingUnion() {
        let rules = [
            Rule.sample(from: ["10.1.0.0/16"], to: [.nfs], over: [.tcp], open: .always),
            Rule.sample(from: ["10.1.4.0/24", "10.2.0.0/16"], to: [.nfsACL], over: [.tcp], open: .always),
        ]
        let bench = Bench.started(rules, registering: .typical + RPCB.everywhere(.nfsACL, 3, port: 2049))
        let clients = AddressRange(ip("10.1.0.0"), ip("10.2.255.255"))
        #expect(bench.kernel.standing == [StandingKey(clients: clients, service: .tcp(2049))])
    }

    @Test("the grant's comment tells program, time and rule, for a restart")
    func comment() {
        var bench = Bench.started(Self.mountRules)
        bench.call(.port(of: .mountd), from: .named)
        let comment = bench.kernel.granted[key]?.comment
        #expect(comment == "100005 since 2026-11-18T11:06:40Z by policy.yaml:3 'clients mount'")
    }
}

@Suite("operator") struct OperatorTests {
    @Test(
        "revokes a client's grants and their flows, and no one else's",
        arguments: [
            (nil, nil, 4), (20048, nil, 2), (nil, Transport.udp, 2), (20048, .tcp, 1), (99, nil, 0),
        ] as [(UInt16?, Transport?, Int)])
    func revoke(port: UInt16?, transport: Transport?, count: Int) {
        var bench = Bench.started([.sample(to: [.mountd, .nfs])])
        for client in ["10.1.2.3", "10.1.2.4"] {
            for program in [Program.mountd, .nfs] {
                for transport in Transport.allCases {
                    bench.call(.port(of: program, transport), from: .from(client), xid: .random(in: 0 ... .max))
                }
            }
        }
        bench.forget()
        var keys: [GrantKey] = []
        bench.handle {
            keys = $0.revoke(client: ip("10.1.2.3"), port: port, transport: transport, at: $1, into: &$2).grants
        }
        #expect(keys.count == count)
        #expect(bench.kernel.granted.count == 8 - count)
        #expect(bench.cut.count == count)
        #expect(bench.events(.revoked).map(\.detail) == Array(repeating: "by the operator", count: count))
        #expect(bench.isQuiet)
    }

    @Test("a client that asks again meanwhile gets a new grant, but its old flows are cut")
    func revokeRacingIssue() {
        var bench = Bench.started([.sample()])
        bench.call(.port(of: .mountd), from: .named)
        bench.forget()
        bench.kernel.refusals = [broken, broken]
        bench.handle { _ = $0.revoke(client: ip("10.1.2.3"), port: nil, transport: nil, at: $1, into: &$2) }
        // The grant is fresh no more.
        bench.now = bench.now + .milliseconds(1)
        bench.reload([.sample()], settings: bench.warden.settings.with { $0.firewall.keep = .seconds(172_801) })
        bench.call(.port(of: .mountd), from: .named)
        #expect(bench.replies.isEmpty)
        bench.advance(by: .milliseconds(250))
        #expect(bench.replies.map(\.reply.body) == [mountPort])
        #expect(bench.cut == [.init(clients: range("10.1.2.3"), service: .tcp(20048))])
        #expect(
            bench.events.map(\.kind).filter { [.revoked, .granted, .renewed].contains($0) } == [.revoked, .granted])
        #expect(bench.warden.grantCount == 1)
        #expect(bench.kernel.granted[key] != nil)
        #expect(bench.isQuiet)
    }

    @Test("a grant that expires while its revocation waits still has its flows cut, and leaves nothing behind")
    func expiredMeanwhile() {
        var bench = Bench.started([.sample()])
        bench.call(.port(of: .mountd), from: .named)
        bench.forget()
        bench.kernel.refusals = [broken, broken]
        bench.handle { _ = $0.revoke(client: ip("10.1.2.3"), port: nil, transport: nil, at: $1, into: &$2) }
        bench.handle { $0.grantsInspected([key], [:], at: $1, into: &$2) }
        bench.advance(by: .milliseconds(250))
        #expect(bench.cut == [.init(clients: range("10.1.2.3"), service: .tcp(20048))])
        #expect(bench.warden.revocationCauses.isEmpty)
        #expect(bench.isQuiet)
    }
}

@Suite("reload") struct ReloadTests {
    @Test(
        "what the new policy no longer permits is revoked at once, and its flows end; the rest is untouched",
        arguments: [
            [], [Rule.sample(to: [.nfs])], [.sample(from: ["10.9.0.0/16"])], [.sample(over: [.udp])],
            [.sample(open: .never)],
            [.sample(except: ["10.1.2.3"])],
        ] as [[Rule]])
    func revoked(rules: [Rule]) {
        var bench = Bench.started([.sample()])
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
        var bench = Bench.started([.sample()])
        bench.call(.port(of: .mountd), from: .named)
        bench.reload([.sample()], settings: Settings().with { $0.firewall.never = [22, 111, 20048] })
        #expect(bench.kernel.granted.isEmpty)
        #expect(!bench.kernel.guarded.contains(.tcp(20048)))
        #expect(bench.ask(.port(of: .mountd), from: .named) == [authError])
    }

    @Test("a call under way is answered by the new policy, at each step of its way")
    func underWay() {
        for step in 0..<3 {
            var bench = Bench.started([.sample(to: [.quota])])
            bench.rpcbind.registrations += RPCB.everywhere(.quota, 1, port: 875)
            bench.holdsQuestions = true
            bench.call(.port(of: .quota), from: .named)
            // Asked; waiting for the registry; waiting for a kernel that fails.
            if step > 0 { bench.answerOne() }
            if step > 1 {
                bench.kernel.refusals = [broken, broken]
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
        var bench = Bench.started([.sample()])
        bench.holdsQuestions = true
        bench.call(.port(of: .mountd), from: .named)
        bench.answerOne()
        // The answer has been explained; the transaction is still to come.
        bench.rpcbind.registrations = []
        bench.handle { warden, now, actions in warden.ask(.registry, for: .refresh, at: now, into: &actions) }
        bench.answerAll()
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.warden.grantCount == 0)
        #expect(bench.isQuiet)
    }

    @Test(
        "clients whose standing access ends have their flows cut, even where the table is made anew",
        arguments: [false, true])
    func standingEnds(remakes: Bool) {
        var bench = Bench.started([.sample(from: ["10.1.0.0/16"], over: [.tcp], open: .always)])
        bench.forget()
        bench.reload([], settings: Settings().with { if remakes { $0.firewall.mark = 0 } })
        #expect(bench.kernel.standing == [])
        #expect(bench.cut == [.init(clients: range("10.1.0.0/16"), service: .tcp(20048))])
    }

    @Test(
        "a port that passes to another program has its flows cut: what was admitted was not meant for that one",
        arguments: [false, true])
    func replaced(isUnregisteredBetween: Bool) {
        var bench = Bench.started(registering: [RPCB(.mountd, 3, .udp, port: 4000)])
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
        var bench = Bench.started(registering: [RPCB(.mountd, 3, .udp, port: 4000)])
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
        var bench = Bench.started([.sample()])
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
        var bench = Bench.started([.sample()], registering: registered)
        #expect(bench.warden.opening.operations == [.deleteTable(name: "rpcwarden")])
        bench.reload([.sample()], settings: Settings().with { $0.firewall.management = .sets })
        #expect(bench.warden.opening.operations == [.unguardPort(.tcp(20048)), .unguardPort(.udp(20048))])
    }

    @Test("a longer keep doesn't make an old grant look fresh")
    func longerKeep() {
        var bench = Bench.started([.sample()], settings: Settings().with { $0.firewall.keep = .seconds(60) })
        bench.call(.port(of: .mountd), from: .named)
        bench.advance(by: .seconds(59))
        bench.reload([.sample()], settings: Settings())
        #expect(bench.ask(.port(of: .mountd), from: .named, xid: 8) == [mountPort])
        bench.advance(by: .seconds(10))
        #expect(bench.kernel.granted[key] != nil)
    }

    @Test("a shorter keep is kept count of", arguments: Transport.allCases)
    func shorterKeep(transport: Transport) {
        var bench = Bench.started([.sample()])
        bench.call(.port(of: .mountd), from: .named.over(transport))
        bench.reload([.sample()], settings: Settings().with { $0.firewall.keep = .seconds(60) })
        bench.advance(by: .seconds(61))
        #expect(bench.kernel.granted.isEmpty)
        #expect((bench.warden.grantCount, bench.events(.expired).count) == (0, 1))
    }

    @Test("fewer grants than there are: those that would expire first go, and the table is made")
    func fewerGrants() {
        var bench = Bench.started([.sample()])
        for client in 1...5 {
            bench.call(.port(of: .mountd), from: .from("10.1.2.\(client)"))
            bench.advance(by: .seconds(1))
        }
        bench.reload([.sample()], settings: Settings().with { $0.limits.grants = 2 })
        #expect(bench.warden.isGuarding)
        #expect(
            Set(bench.kernel.granted.keys) == [GrantKey("10.1.2.4", .tcp(20048)), GrantKey("10.1.2.5", .tcp(20048))])
        #expect(bench.events(.revoked).map(\.detail) == ["limits.grants", "limits.grants", "limits.grants"])
        #expect(bench.isQuiet)
    }

    @Test("new limits count from now on")
    func limits() {
        var bench = Bench.started([.sample()])
        bench.reload([.sample()], settings: Settings().with { $0.limits.callsPerSecond = 1 })
        for xid in 0..<5 { bench.call(.null(.v2), from: .named, xid: UInt32(xid)) }
        #expect(bench.denials == [.rate])
    }

    @Test("ports to guard are guarded at once, also while rpcbind is down")
    func guardPorts() {
        var bench = Bench()
        bench.rpcbind.isDown = true
        bench.start()
        bench.reload(
            [],
            settings: Settings().with {
                $0.firewall.guardPorts = [.init(.udp, 32_765...32_766), .init(.tcp, 21...23)]
            })
        #expect(bench.kernel.guarded == [.udp(32_765), .udp(32_766), .tcp(21), .tcp(23)])
    }
}

@Suite("adoption") struct AdoptionTests {
    /// A kernel as a run with mountd and nfs left it.
    static func left(_ settings: Settings = Settings()) -> Bench {
        var bench = Bench.started(rules, settings: settings)
        for client in 1...3 { bench.call(.port(of: .mountd), from: .from("10.1.2.\(client)", .tcp)) }
        bench.advance(by: .seconds(1000))
        return bench
    }

    static let rules = [Rule.sample(), .sample("nfs", from: ["10.1.0.0/16"], to: [.nfs], over: [.tcp], open: .always)]

    static func restarted(
        _ old: Bench, _ rules: [Rule] = rules, settings: Settings = Settings(), mayStay: Bool = false
    ) -> Bench {
        var bench = Bench(rules, settings: settings)
        bench.kernel = old.kernel
        bench.kernel.mayStay = mayStay
        bench.kernel.committed = []
        bench.rpcbind = old.rpcbind
        bench.now = old.now
        return bench
    }

    @Test(
        "a restart keeps guard, standing elements and grants as they are, with rpcbind not up yet, and after",
        arguments: [true, false])
    func unnoticed(mayStay: Bool) {
        let old = Self.left()
        var bench = Self.restarted(old, mayStay: mayStay)
        bench.rpcbind.isDown = true
        bench.start()
        bench.advance(by: .seconds(10))
        for _ in 0..<2 {
            #expect((bench.kernel.guarded, bench.kernel.standing) == (old.kernel.guarded, old.kernel.standing))
            #expect(bench.kernel.granted == old.kernel.granted)
            bench.rpcbind.isDown = false
            bench.advance(by: .seconds(1))
        }
        #expect(bench.cut == [])
        #expect(bench.events.map(\.kind) == [.rpcbindDown, .rpcbindUp])
        #expect(bench.isQuiet)
    }

    @Test("grants that may stay where they are are left there, whatever else is made anew")
    func stay() {
        var bench = Self.restarted(Self.left(), mayStay: true)
        bench.start()
        let first = bench.kernel.committed[0].operations
        #expect(first[0] == .takeTable(Settings().tableShape))
        #expect(first.contains(.guardPort(.udp(20048))))
        #expect(!first.contains { if case .issue = $0 { true } else { false } })
        bench.kernel.flush()
        bench.handle { $0.tableChanged([.overrun], at: $1, into: &$2) }
        bench.advance(by: .seconds(1))
        #expect(bench.kernel.granted.count == 3, "later they are made anew like everything else")
        #expect(bench.isQuiet)
    }

    @Test("a table that can't be taken over as it is is made anew at once, and nobody is refused for that")
    func changedMeanwhile() {
        let old = Self.left()
        var bench = Self.restarted(old, mayStay: true)
        let refusal = CommitFailure(errno: 116, message: "Stale file handle", operation: 0)
        // The second is as the first one of any other start.
        bench.kernel.refusals = [refusal, refusal]
        bench.start()
        #expect(bench.kernel.committed.first?.operations[0] == .makeTable(Settings().tableShape))
        #expect(bench.kernel.granted == old.kernel.granted)
        #expect(bench.isQuiet)
    }

    @Test(
        "what an earlier run opened at a port that may never be opened now is not taken over", arguments: [true, false])
    func neverNow(mayStay: Bool) {
        var bench = Self.restarted(
            Self.left(), settings: Settings().with { $0.firewall.never.insert(20048) }, mayStay: mayStay)
        bench.rpcbind.isDown = true
        bench.start()
        #expect(bench.kernel.granted.keys.allSatisfy { $0.service.port != 20048 })
        #expect(bench.kernel.standing.allSatisfy { $0.service.port != 20048 })
        #expect(bench.warden.isGuarding)
    }

    @Test("adopted grants expire when they would have", arguments: [true, false])
    func expires(mayStay: Bool) {
        var bench = Self.restarted(Self.left(), mayStay: mayStay)
        bench.start()
        bench.advance(by: .seconds(85_399))
        #expect(bench.warden.grantCount == 3)
        bench.advance(by: .seconds(1))
        #expect((bench.warden.grantCount, bench.events(.expired).count) == (0, 3))
    }

    @Test("an adopted grant that nothing permits any more goes once rpcbind has answered", arguments: [true, false])
    func baseless(mayStay: Bool) {
        var bench = Self.restarted(Self.left(), [.sample(from: ["10.1.2.1"])], mayStay: mayStay)
        bench.rpcbind.isDown = true
        bench.start()
        #expect(bench.kernel.granted.count == 3)
        bench.rpcbind.isDown = false
        bench.refresh()
        #expect(bench.kernel.granted.keys.map(\.client) == [ip("10.1.2.1")])
        #expect(bench.kernel.standing == [])
        #expect(bench.cut.count == 3)
    }

    @Test(
        "elements with a comment that we didn't write are not adopted",
        arguments: ["", "mine", "100005 since yesterday by me"])
    func foreign(comment: String) {
        var bench = Bench(Self.rules)
        bench.kernel.now = bench.now
        let add = Operation.issue(key, timeout: .seconds(9), expiresIn: nil, comment: comment)
        _ = bench.kernel.commit(Transaction(table: "rpcwarden", operations: [.makeTable(Settings().tableShape), add]))
        bench.rpcbind.registrations = .typical
        bench.kernel.mayStay = true
        bench.start()
        #expect(bench.kernel.granted.isEmpty)
    }

    @Test(
        "elements that would outlive the clock, which ends after 292 years, are adopted too",
        arguments: [291, 293, 584])
    func longLived(years: Int) {
        var warden = Warden(settings: Settings(), policy: Policy(), names: .wellKnown, trustedOwners: [])
        let time = Duration.seconds(years * 365 * 86_400)
        let note = GrantNote(program: .mountd, issued: Timestamp(milliseconds: 0), rule: "policy.yaml:3")
        let element = GrantElement(
            key: key, timeout: time, expiresIn: time, packets: 0, bytes: 0, comment: note.description)
        var contents = TableContents()
        contents.granted = [element]
        contents.remembered = [element]
        var now = Instant.zero + .seconds(1000)
        warden.tableFound(contents, at: now)
        var actions: [Action] = []
        for _ in 0..<3 {
            warden.timeAdvanced(to: now, into: &actions)
            now = now + .seconds(86_400)
        }
        #expect(warden.grantCount == 1)
    }

    @Test("a quarantine without an end, such as people add by hand, is adopted too")
    func endlessQuarantine() {
        var warden = Warden(settings: Settings(), policy: Policy(), names: .wellKnown, trustedOwners: [])
        var contents = TableContents()
        contents.quarantined[ip("192.0.2.9")] = .seconds(Int64.max)
        let now = Instant.zero + .seconds(1000)
        warden.tableFound(contents, at: now)
        var actions: [Action] = []
        warden.timeAdvanced(to: now, into: &actions)
        #expect(warden.release(client: ip("192.0.2.9"), at: now, into: &actions))
    }

    @Test("a lower limits.grants doesn't keep the daemon from starting", arguments: [true, false])
    func fewerGrants(mayStay: Bool) {
        var bench = Self.restarted(Self.left(), settings: Settings().with { $0.limits.grants = 2 }, mayStay: mayStay)
        bench.start()
        #expect(bench.warden.isGuarding)
        #expect((bench.kernel.granted.count, bench.warden.grantCount) == (2, 2))
    }

    @Test("a grant that the kernel won't take back is let go, the others stay")
    func unrestorable() {
        var bench = Self.restarted(Self.left())
        bench.kernel.refusals = [CommitFailure(errno: 23, message: "full", operation: 1 + 6 + 1)]
        bench.start()
        #expect(bench.warden.isGuarding)
        #expect((bench.kernel.granted.count, bench.warden.grantCount) == (2, 2))
        #expect(bench.events(.revoked).map(\.detail) == ["full"])
    }

    @Test("a never port of the new configuration is unguarded before rpcbind has answered")
    func never() {
        var bench = Self.restarted(Self.left(), settings: Settings().with { $0.firewall.never = [2049] })
        bench.rpcbind.isDown = true
        bench.start()
        #expect(bench.kernel.guarded == [.tcp(20048), .udp(20048), .tcp(662), .udp(662)])
    }
}
