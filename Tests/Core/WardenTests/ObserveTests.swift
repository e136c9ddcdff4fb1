import Addresses
import AuditTrail
import Calls
import Configuration
import CoreSamples
import Firewall
import ONCRPC
import Policy
import Portmapper
import TestSupport
import Testing

private let mountPort = PortmapperResult.port(20048).body

@Suite("observe") struct ObserveTests {
    static let mapping = Mapping(program: .mountd, version: 3, protocolNumber: 6, port: 1)
    static let rpcb = RPCB(.mountd, 3, .tcp, port: 1)
    static let remote = RemoteCall(program: .mountd, version: 3, procedure: 0)

    @Test(
        "registrations, remote calls and what isn't served stay denied, and nothing goes upstream",
        arguments: [
            .setMapping(mapping), .unsetMapping(mapping), .set(.v3, rpcb), .unset(.v4, rpcb), .callIt(.v2, remote),
            .callIt(.v3, remote), .broadcast(remote), .indirect(remote), .getTime(.v3), .getStatistics,
        ] as [PortmapperCall])
    func stillDenied(call: PortmapperCall) {
        let bench = Bench.started([.sample()], settings: .observing)
        #expect(bench.ask(call, from: .named) == (DenialTests.isSilent(call, over: .udp) ? [] : [.authError(.failed)]))
        #expect(bench.asked == [])
        #expect(bench.events.map(\.isEnforced) == [true])
    }

    /// A call that enforce mode denies, its peer, and the reason.
    static let lifted: [(PortmapperCall, Peer, DenialReason)] = [
        (.port(of: .mountd), .stranger, .stranger), (.port(of: .nfs), .named, .noRule),
        (.port(of: .status, .udp, version: 1), .named, .transport), (.dump(.v2), .named.over(.tcp), .noList),
        (.addressList(of: .nfs), .named.over(.tcp), .noRule), (.null(.v2), .stranger, .stranger),
        (.port(of: .portmapper), .stranger, .stranger),
    ]

    @Test("answers what enforce denies, logs the reason, and grants nothing for it", arguments: lifted)
    func permits(call: PortmapperCall, peer: Peer, reason: DenialReason) {
        let bench = Bench.started([.sample(), .sample(to: [.status], over: [.tcp])], settings: .observing)
        let bodies = bench.ask(call, from: peer)
        #expect(bodies.count == 1)
        #expect(bodies != [.authError(.failed)])
        #expect(bench.events.map(\.kind) == [.denied])
        #expect((bench.denials, bench.events.first?.isEnforced) == ([reason], false))
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.isQuiet)
    }

    @Test("lists over UDP")
    func listOverUDP() {
        let bench = Bench.started([.sample(lists: true)], settings: .observing)
        #expect(bench.ask(.dump(.v2), from: .named).count == 1)
        #expect(bench.denials == [.listOverUDP])
    }

    @Test("what a rule permits is granted as usual")
    func granted() {
        let bench = Bench.started([.sample()], settings: .observing)
        #expect(bench.ask(.port(of: .mountd), from: .named) == [mountPort])
        #expect(bench.kernel.granted.count == 1)
        #expect(bench.kernel.shape?.observes == true)
    }

    @Test(
        "tells what came to light later, too",
        arguments: [
            DenialReason.untrustedOwner, .notListening, .neverPort, .firewallFailed, .grantsFull,
        ])
    func laterDenials(reason: DenialReason) {
        let settings = Settings.observing.with {
            if reason == .neverPort { $0.firewall.never = [20048] }
            if reason == .grantsFull { $0.limits.grants = 0 }
        }
        let owner = reason == .untrustedOwner ? "1000" : "superuser"
        let bench = Bench.started(
            [.sample()], settings: settings, registering: RPCB.everywhere(.mountd, 3, port: 20048, owner: owner))
        if reason == .notListening { bench.silent = [.tcp(20048): ListenerState()] }
        let broken = CommitFailure(errno: 1, message: "Operation not permitted")
        if reason == .firewallFailed { bench.kernel.refusals = [broken, broken] }
        #expect(bench.ask(.port(of: .mountd), from: .named) == [mountPort])
        #expect(bench.events(.denied).map(\.isEnforced) == [false])
        #expect(bench.denials == [reason])
        #expect(bench.kernel.granted.isEmpty)
    }

    @Test(
        "answers a named client beyond the rate, and says so; what strangers cost stays bounded",
        arguments: [Transport.udp, .tcp])
    func rate(over transport: Transport) {
        let bench = Bench.started([.sample()], settings: .observing.with { $0.limits.callsPerSecond = 1 })
        for xid in 0..<5 {
            #expect(bench.ask(.null(.v2), from: .named.over(transport), xid: UInt32(xid)).count == 1)
        }
        #expect(bench.denials == [.rate])
        bench.forget()
        for xid in 0..<4 {
            #expect(bench.ask(.null(.v2), from: .stranger.over(transport), xid: UInt32(xid)).count == 1)
        }
        #expect(bench.ask(.null(.v2), from: .stranger.over(transport)) == [])
        #expect(bench.events.last?.reason == .rate && bench.events.last?.isEnforced == true)
    }

    @Test(
        "a stranger gets nothing that isn't served",
        arguments: [
            .getTime(.v3), .getStatistics, .universalToTransportAddress(.v4, "1.2.3.4.0.1"),
            .transportToUniversalAddress(.v4),
        ] as [PortmapperCall], Transport.allCases)
    func unserved(call: PortmapperCall, transport: Transport) {
        let bench = Bench.started([.sample()], settings: .observing)
        #expect(bench.ask(call, from: .stranger.over(transport)) == [])
        #expect(bench.denials == [.stranger] && bench.events.map(\.isEnforced) == [true])
    }

    static let listings: [PortmapperCall] = [.dump(.v2), .dump(.v3), .dump(.v4)]

    @Test("lists to no stranger over UDP: its address may be forged", arguments: listings)
    func strangersListing(call: PortmapperCall) {
        var bench = Bench.started([.sample(lists: true)], settings: .observing)
        #expect(bench.ask(call, from: .stranger) == [])
        #expect(bench.denials == [.stranger] && bench.events.first?.isEnforced == true)
        #expect(bench.ask(call, from: .stranger.over(.tcp)).count == 1)
        bench = Bench.started([.sample()], settings: .observing.with { $0.denial.strangers = .authError })
        #expect(bench.ask(call, from: .stranger) == [.authError(.failed)])
    }

    /// `learn` takes it from the log: some clients ask so.
    @Test("a stranger's GETADDRLIST over UDP is a look-up that is observed, and whose answer is too long to be sent")
    func strangersAddressList() {
        let bench = Bench.started([.sample()], settings: .observing)
        #expect(bench.ask(.addressList(of: .mountd), from: .stranger) == [])
        #expect(bench.denials == [.stranger] && bench.events.first?.isEnforced == false)
        #expect(bench.ask(.addressList(of: .mountd), from: .stranger.over(.tcp)).count == 1)
        #expect(bench.isQuiet)
    }

    @Test("sends a stranger nothing over UDP that is longer than its call", arguments: [true, false])
    func noLongerThanTheCall(isLong: Bool) {
        let address = isLong ? "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff" : "2001:db8::1"
        let bench = Bench.started(
            settings: .observing, registering: [RPCB(.mountd, 3, .udp6, port: 20048)] + RPCB.ownPlaces)
        let stranger = Peer.from("2001:db8:ff::9", asking: ip(address))
        let replies = bench.ask(.address(of: .mountd), from: stranger)
        #expect(replies.count == (isLong ? 0 : 1))
        #expect(bench.ask(.address(of: .mountd), from: stranger.over(.tcp)).count == 1)
        #expect(bench.events.allSatisfy { $0.reason == .stranger && $0.isEnforced == false })
        #expect(bench.isQuiet)
    }

    @Test("a stranger's malformed call is answered")
    func malformed() {
        let bench = Bench.started(settings: .observing)
        bench.deliver(IncomingCall(bytes: MalformedTests.call(procedure: 6), from: .stranger))
        #expect(bench.replies.map(\.reply.body) == [.procedureUnavailable])
    }

    @Test("back to enforce, calls under way are denied")
    func backToEnforce() {
        let bench = Bench.started([.sample()], settings: .observing)
        bench.holdsQuestions = true
        bench.call(.port(of: .mountd), from: .stranger)
        bench.reload([.sample()], settings: Settings())
        bench.holdsQuestions = false
        bench.answerAll()
        #expect(bench.replies == [])
        #expect(bench.denials == [.stranger, .stranger])
    }

    @Test("tells that a packet to a guarded port was let through")
    func probed() {
        for settings in [Settings(), .observing] {
            let bench = Bench.started([.sample()], settings: settings)
            let packet = DroppedPacket(client: ip("192.0.2.9"), clientPort: 7, service: .tcp(20048), kind: .probe)
            bench.handle { $0.packetDropped(packet, at: $1, into: &$2) }
            #expect(bench.events(.probed).map(\.isEnforced) == [settings.mode == .enforce])
        }
    }
}
