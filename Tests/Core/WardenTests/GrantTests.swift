import Addresses
import Calls
import Configuration
import CoreSamples
import Firewall
import ONCRPC
import Policy
import Portmapper
import TestSupport
import Testing

@Suite("grant") struct GrantTests {
    static let mountRules = [Rule.sample()]

    @Test("nothing is told, and nothing granted, when the kernel refuses twice; the table is tried anew in between")
    func refusedTwice() {
        let bench = Bench.started(Self.mountRules)
        bench.kernel.refusals = [.broken, .broken]
        #expect(bench.ask(.port(of: .mountd), from: .named) == [authError])
        #expect(bench.denials == [.firewallFailed])
        #expect(bench.events(.denied).first?.detail == "Operation not permitted")
        #expect((bench.kernel.granted.count, bench.loop.warden.grantCount) == (0, 0))
        #expect(bench.loop.warden.isGuarding == false)
        bench.advance(by: .milliseconds(250))
        #expect(bench.loop.warden.isGuarding == true)
        #expect(bench.ask(.port(of: .mountd), from: .named) == [.mountPort])
        #expect(bench.isQuiet)
    }

    @Test("a first failure makes the table anew, with all grants, before anybody is refused")
    func refusedOnce() {
        let bench = Bench.started(Self.mountRules)
        bench.call(.port(of: .mountd), from: .from("10.1.9.9"))
        bench.kernel.refusals = [.broken]
        #expect(bench.ask(.port(of: .mountd), from: .named) == [.mountPort])
        #expect(bench.denials == [])
        #expect(bench.kernel.granted.count == 2)
    }

    @Test("a table that somebody flushed is put back by the next lookup, though the kernel names the grant")
    func flushed() {
        let bench = Bench.started(Self.mountRules)
        bench.call(.port(of: .mountd), from: .from("10.1.9.9"))
        bench.kernel.flush()
        #expect(bench.ask(.port(of: .mountd), from: .named) == [.mountPort])
        #expect(bench.kernel.granted.count == 2)
        #expect(bench.kernel.guarded == [.tcp(20048), .udp(20048), .tcp(2049), .udp(2049), .tcp(662), .udp(662)])
    }

    @Test("a full set refuses just the grant that is named", arguments: [23, 28] as [Int32])
    func full(errno: Int32) {
        let bench = Bench.started(Self.mountRules)
        bench.holdsQuestions = true
        bench.call(.port(of: .mountd), from: .from("10.1.1.1"))
        for client in 2...4 { bench.call(.port(of: .mountd), from: .from("10.1.1.\(client)")) }
        bench.answerOne()
        bench.answerOne()
        bench.kernel.refusals = [CommitFailure(errno: errno, message: "full", operation: 1)]
        bench.handle { $0.flush(at: $1, into: &$2) }
        #expect(bench.replies.count { $0.reply.body == authError } == 1)
        #expect(bench.replies.count { $0.reply.body == Reply.Body.mountPort } == 3)
        #expect(bench.denials == [.grantsFull])
        #expect(bench.kernel.granted.count == 3)
    }

    @Test("a grant that is refused for another reason takes no others with it")
    func refusedAlone() {
        let bench = Bench.started(Self.mountRules)
        bench.holdsQuestions = true
        bench.call(.port(of: .mountd), from: .from("10.1.1.1"))
        for client in 2...4 { bench.call(.port(of: .mountd), from: .from("10.1.1.\(client)")) }
        bench.answerOne()
        bench.answerOne()
        // The second transaction first makes the table and guards six ports.
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
        let bench = Bench.started([.sample(to: all)], settings: settings)
        #expect(bench.ask(.port(of: .mountd), from: .named.over(.tcp)) == [.mountPort])
        #expect(bench.ask(.port(of: .nfs), from: .named.over(.tcp)) == [PortmapperResult.port(2049).body])
        #expect(bench.ask(.port(of: .status), from: .named.over(.tcp)) == [authError])
        #expect(bench.ask(.port(of: .mountd), from: .from("10.1.2.4", .tcp)) == [.mountPort])
        #expect(bench.ask(.port(of: .mountd), from: .from("10.1.2.5", .tcp)) == [authError])
        #expect(bench.denials == [.grantsFull, .grantsFull])
        bench.advance(by: .seconds(50_000))
        #expect(bench.ask(.port(of: .mountd), from: .named.over(.tcp)) == [.mountPort])
        #expect(bench.loop.warden.counters.renewed == 1)
    }

    @Test("a client that asks for many services at once has no more grants than one that asks in turn")
    func limitOfPipelining() {
        let settings = Settings().with { $0.limits.grantsPerClient = 2 }
        let bench = Bench.started([.sample(to: [.mountd, .nfs, .status])], settings: settings)
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
        let bench = Bench.started(Self.mountRules)
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        let commits = bench.kernel.committed.count
        bench.advance(by: .seconds(43_000))
        #expect(bench.ask(.port(of: .mountd), from: .named.over(.tcp)) == [.mountPort])
        #expect(bench.kernel.committed.count == commits)
        bench.advance(by: .seconds(300))
        #expect(bench.ask(.port(of: .mountd), from: .named.over(.tcp)) == [.mountPort])
        #expect(bench.kernel.committed.count == commits + 1)
        #expect(bench.events(.renewed).map(\.granted) == [.tcp(20048)])
    }

    @Test("a grant that no packet used expires, and says so once; one that was used lives on")
    func expiry() {
        let bench = Bench.started(Self.mountRules)
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        bench.call(.port(of: .mountd), from: .from("10.1.2.4", .tcp))
        bench.advance(by: .seconds(80_000))
        bench.kernel.packet(.mount)
        bench.advance(by: .seconds(6_401))
        #expect(bench.events(.expired).map(\.client) == [ip("10.1.2.4")])
        #expect(bench.loop.warden.grantCount == 1)
        bench.advance(by: .seconds(80_000))
        bench.advance(by: .seconds(1))
        #expect(bench.events(.expired).map(\.client) == [ip("10.1.2.4"), ip("10.1.2.3")])
        #expect((bench.loop.warden.grantCount, bench.loop.warden.counters.expired) == (0, 2))
    }

    @Test(
        "a grant dies with its mapping, and its flows with it",
        arguments: [
            [], RPCB.everywhere(.mountd, 3, port: 4002), RPCB.everywhere(.quota, 1, port: 20048),
            RPCB.everywhere(.mountd, 3, port: 20048, owner: "1000"),
        ])
    func mappingGone(registrations: [RPCB]) {
        let bench = Bench.started(Self.mountRules)
        bench.call(.port(of: .mountd), from: .named)
        bench.forget()
        bench.rpcbind.registrations = registrations
        // The service's socket is closed; any listener at the port is another socket.
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
        let bench = Bench.started([.sample(to: both)], registering: .typical + acl)
        bench.holdsQuestions = true
        bench.call(.port(of: .nfs), from: .named, xid: 1)
        bench.call(.port(of: .nfsACL), from: .named, xid: 2)
        bench.answerAll()
        bench.holdsQuestions = false
        let grant = GrantKey("10.1.2.3", .tcp(2049))
        #expect(bench.loop.warden.grant(grant)?.programs.all == both.sorted())
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
        let bench = Bench.started([.sample(open: .never)])
        let commits = bench.kernel.committed.count
        #expect(bench.ask(.port(of: .mountd), from: .named) == [.mountPort])
        #expect((bench.kernel.granted.count, bench.kernel.committed.count) == (0, commits))
    }

    @Test("open: always stands for its clients as long as the mapping stands")
    func openAlways() {
        let bench = Bench.started([.sample(from: ["10.1.0.0/16"], open: .always)])
        let standing: Set<StandingKey> = [.init("10.1.0.0/16", .tcp(20048)), .init("10.1.0.0/16", .udp(20048))]
        #expect(bench.kernel.standing == standing)
        #expect(bench.ask(.port(of: .mountd), from: .named) == [.mountPort])
        #expect(bench.kernel.granted.isEmpty)
        bench.rpcbind.registrations = []
        bench.refresh()
        #expect((bench.kernel.standing, bench.kernel.guarded) == ([], []))
    }

    @Test("open: always for a range of programs stands for what of it is registered, as long as it is")
    func openAlwaysByRange() {
        var rule = Rule.sample(from: ["10.1.0.0/16"], to: [], open: .always)
        rule.programRanges = ProgramRanges([Program.transient])
        let bench = Bench.started([rule])
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
        let bench = Bench.started([rule])
        #expect(bench.ask(.port(of: .mountd), from: .named) == [.mountPort])
        #expect(bench.kernel.granted.count == 1)
        rule.programRanges = ProgramRanges([Program(100_006)...Program(100_010)])
        bench.reload([rule])
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.events(.revoked).map(\.detail) == ["no longer permitted"])
    }

    @Test("a standing port is told only once its element is acknowledged")
    func alwaysAcknowledged() {
        let bench = Bench.started([.sample(from: ["10.1.0.0/16"], open: .always)])
        bench.rpcbind.registrations = RPCB.everywhere(.mountd, 3, port: 4002)
        bench.audit = { action, bench in
            guard case .reply = action else { return }
            #expect(bench.kernel.opens(.tcp(4002), to: ip("10.1.2.3")))
        }
        #expect(bench.ask(.port(of: .mountd), from: .named) == [PortmapperResult.port(4002).body])
    }

    @Test("while the kernel takes its time, those are answered whom it doesn't concern, and the others when it is done")
    func kernelTakesItsTime() {
        let always = Rule.sample("always", from: ["10.1.0.0/16"], to: [.nfs], open: .always)
        let onLookup = Rule.sample("on lookup", from: ["10.1.0.0/16"], to: [.mountd])
        let stayed = Peer.named
        let bench = Bench.started([always, onLookup])
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
            guard case .reply(let sent) = action else { return }
            let peer = sent.peer
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
        let bench = Bench.started(Self.mountRules)
        bench.call(.port(of: .mountd), from: .named)
        let comment = bench.kernel.granted[.mount]?.comment
        #expect(comment == "100005 since 2026-11-18T11:06:40Z by policy.yaml:3 'clients mount'")
    }
}
