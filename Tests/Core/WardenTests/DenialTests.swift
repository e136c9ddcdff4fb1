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

@Suite("denial") struct DenialTests {
    /// Every procedure, and the reason for its denial to a client that a rule names for another program.
    static let procedures: [(PortmapperCall, DenialReason?)] = [
        (.null(.v2), nil), (.null(.v3), nil), (.null(.v4), nil),
        (.setMapping(mapping), .remoteRegistration), (.unsetMapping(mapping), .remoteRegistration),
        (.set(.v3, rpcb), .remoteRegistration), (.unset(.v3, rpcb), .remoteRegistration),
        (.set(.v4, rpcb), .remoteRegistration), (.unset(.v4, rpcb), .remoteRegistration),
        (.callIt(.v2, remote), .remoteCall), (.callIt(.v3, remote), .remoteCall), (.broadcast(remote), .remoteCall),
        (.indirect(remote), .remoteCall),
        (.port(of: .mountd), .noRule), (.address(of: .mountd, as: .v3), .noRule), (.address(of: .mountd), .noRule),
        (.versionAddress(of: .mountd), .noRule), (.port(of: .unheardOf), .noRule),
        (.dump(.v2), .noList), (.dump(.v3), .noList), (.dump(.v4), .noList), (.addressList(of: .mountd), .noRule),
        (.getTime(.v3), .notServed), (.getTime(.v4), .notServed), (.getStatistics, .notServed),
        (.universalToTransportAddress(.v3, "1.2.3.4.5.6"), .notServed), (.transportToUniversalAddress(.v4), .notServed),
    ]

    static let nfsOnly = [Rule.sample(to: [.nfs], over: [.tcp])]

    @Test(
        "denies each procedure that no rule permits, and asks rpcbind nothing", arguments: procedures,
        [Transport.udp, .tcp])
    func denied(procedure: (call: PortmapperCall, reason: DenialReason?), transport: Transport) {
        let bench = Bench.started(Self.nfsOnly)
        let bodies = bench.ask(procedure.call, from: .named.over(transport))
        // RFC 1833: a CALLIT that can't be made gets no reply. Over TCP each call gets one.
        let expected = procedure.reason == nil ? PortmapperResult.void.body : authError
        #expect(bodies == (Self.isSilent(procedure.call, over: transport) ? [] : [expected]))
        #expect(bench.denials == (procedure.reason.map { [$0] } ?? []))
        #expect(bench.asked == [])
        #expect(bench.closed == [])
        #expect(bench.isQuiet)
    }

    static func isSilent(_ call: PortmapperCall, over transport: Transport) -> Bool {
        call.procedureNumber == 5 && transport == .udp
    }

    @Test("a stranger hears nothing over UDP, whatever it asks", arguments: procedures)
    func silenceOverUDP(procedure: (call: PortmapperCall, reason: DenialReason?)) {
        let bench = Bench.started(Self.nfsOnly)
        #expect(bench.ask(procedure.call, from: .stranger) == [])
        #expect((bench.asked, bench.closed) == ([], []))
        #expect(bench.events(.denied).count == 1)
    }

    @Test("who was a stranger, and is named by a new policy, is told; who was named, and is a stranger now, isn't")
    func namedMeanwhile() {
        let bench = Bench.started(Self.nfsOnly)
        #expect(bench.ask(.dump(.v2), from: .stranger) == [])
        bench.reload([.sample(from: ["0.0.0.0/0"], to: [.nfs])])
        #expect(bench.ask(.dump(.v2), from: .stranger) == [authError])
        bench.reload(Self.nfsOnly)
        #expect(bench.ask(.dump(.v2), from: .stranger) == [])
        #expect(bench.denials == [.stranger, .noList, .stranger])
    }

    @Test("a stranger's connection is closed without a byte", arguments: procedures)
    func closeOverTCP(procedure: (call: PortmapperCall, reason: DenialReason?)) {
        let bench = Bench.started(Self.nfsOnly)
        #expect(bench.ask(procedure.call, from: .stranger.over(.tcp)) == [])
        #expect((bench.asked, bench.closed) == ([], [1]))
    }

    @Test("a stranger is one for each procedure but those that no remote peer may call", arguments: procedures)
    func strangersReason(procedure: (call: PortmapperCall, reason: DenialReason?)) {
        let bench = Bench.started(Self.nfsOnly)
        bench.call(procedure.call, from: .stranger)
        let fixed: [DenialReason] = [.remoteRegistration, .remoteCall]
        #expect(bench.denials == [procedure.reason.flatMap { fixed.contains($0) ? $0 : nil } ?? .stranger])
    }

    @Test("on request, strangers get the authentication error", arguments: [Transport.udp, .tcp])
    func strangersAuthError(transport: Transport) {
        let bench = Bench.started(settings: Settings().with { $0.denial.strangers = .authError })
        #expect(bench.ask(.port(of: .mountd), from: .stranger.over(transport)) == [authError])
        #expect(bench.closed == [])
    }

    @Test("refuse: silence closes a named client's connection, and leaves its datagram unanswered")
    func refuseInSilence() {
        let bench = Bench.started(Self.nfsOnly, settings: Settings().with { $0.denial.refuse = .silence })
        #expect(bench.ask(.port(of: .mountd), from: .named) == [])
        #expect(bench.closed == [])
        #expect(bench.ask(.port(of: .mountd), from: .named.over(.tcp)) == [])
        #expect(bench.closed == [1])
    }

    /// The reply of `refuse: not-registered` to each procedure; `nil`: no reply.
    static func notRegistered(_ call: PortmapperCall, over transport: Transport) -> Reply.Body? {
        switch call {
        case .getPort: PortmapperResult.port(0).body
        case .getAddress, .getVersionAddress: PortmapperResult.address("").body
        case .dump, .getAddressList: .success([0, 0, 0, 0])
        case .set, .unset, .setMapping, .unsetMapping: PortmapperResult.boolean(false).body
        case .callIt, .broadcast: transport == .udp ? nil : .programUnavailable
        case .indirect: .programUnavailable
        case .null: .success([])
        case .getTime, .universalToTransportAddress, .transportToUniversalAddress, .getStatistics: .procedureUnavailable
        }
    }

    @Test(
        "refuse: not-registered says what rpcbind says of an unknown program", arguments: procedures,
        [Transport.udp, .tcp])
    func refuseAsNotRegistered(procedure: (call: PortmapperCall, reason: DenialReason?), transport: Transport) {
        let bench = Bench.started(Self.nfsOnly, settings: Settings().with { $0.denial.refuse = .notRegistered })
        let expected = Self.notRegistered(procedure.call, over: transport)
        #expect(bench.ask(procedure.call, from: .named.over(transport)) == (expected.map { [$0] } ?? []))
        #expect(bench.closed == [])
    }

    static let forms: [Settings] = [
        Settings(), Settings().with { $0.denial.refuse = .notRegistered },
        Settings().with { $0.denial.refuse = .silence },
        Settings().with { $0.denial.strangers = .authError },
    ]

    @Test("a denial does not differ by registration", arguments: forms, [Peer.named, .stranger])
    func sameForUnregistered(settings: Settings, peer: Peer) {
        let lookups: [(Program) -> PortmapperCall] = [
            { .port(of: $0) }, { .port(of: $0, .udp) }, { .address(of: $0) }, { .versionAddress(of: $0) },
            { .addressList(of: $0) },
        ]
        for lookup in lookups {
            for transport in Transport.allCases {
                let bench = Bench.started(Self.nfsOnly, settings: settings)
                let registered = bench.ask(lookup(.mountd), from: peer.over(transport))
                let unregistered = bench.ask(lookup(.unheardOf), from: peer.over(transport))
                #expect(registered == unregistered)
                #expect(bench.denials.count == 2)
                #expect(Set(bench.denials).count == 1)
            }
        }
    }

    @Test("no denial over UDP is longer than its call", arguments: procedures, forms)
    func neverLonger(procedure: (call: PortmapperCall, reason: DenialReason?), settings: Settings) {
        let bench = Bench.started(Self.nfsOnly, settings: settings)
        for peer in [Peer.named, .stranger] {
            for body in bench.ask(procedure.call, from: peer) {
                #expect(Reply(xid: 7, body: body).encoded.count <= procedure.call.encoded(xid: 7).count)
            }
        }
    }

    @Test("a named client that asks over the wrong transport is told so in the log")
    func transport() {
        let bench = Bench.started(Self.nfsOnly)
        #expect(bench.ask(.port(of: .nfs, .udp), from: .named) == [authError])
        #expect(bench.ask(.address(of: .nfs), from: .named) == [authError])
        #expect(bench.denials == [.transport, .transport])
    }

    @Test("listings over UDP are denied, and permitted by udp-list")
    func listOverUDP() {
        let rules = [Rule.sample(lists: true)]
        var bench = Bench.started(rules)
        #expect(bench.ask(.dump(.v2), from: .named) == [authError])
        #expect(bench.ask(.addressList(of: .mountd), from: .named).first != authError, "it is a look-up")
        #expect(bench.denials == [.listOverUDP])
        bench = Bench.started(rules, settings: Settings().with { $0.limits.listsOverUDP = true })
        #expect(bench.ask(.dump(.v2), from: .named).count == 1)
        #expect(bench.denials == [])
    }

    @Test(
        "calls to broadcast and multicast addresses are dropped",
        arguments: ["255.255.255.255", "224.0.0.1", "ff02::202"])
    func broadcast(address: String) {
        let bench = Bench.started([.sample()])
        let peer = Peer.from(ip(address).isIPv4 ? "10.1.2.3" : "2001:db8:1::5", asking: ip(address))
        #expect(bench.ask(.port(of: .mountd), from: peer) == [])
        #expect((bench.denials, bench.asked) == ([.broadcast], []))
    }

    @Test("a call to a subnet's broadcast address is dropped, even from this host")
    func directedBroadcast() {
        let bench = Bench.started([.sample()])
        for var peer in [Peer.named, .loopback] {
            peer.isBroadcast = true
            #expect(bench.ask(.port(of: .mountd), from: peer) == [])
        }
        #expect(bench.denials == [.broadcast, .broadcast])
    }

    @Test("a denial names client, rule of what was asked, and reason in the log")
    func auditLine() {
        let bench = Bench.started(Self.nfsOnly)
        bench.call(.port(of: .mountd), from: .named, xid: 99)
        var expected = AuditEvent(.denied)
        expected.client = ip("10.1.2.3")
        expected.port = 700
        expected.transport = .udp
        expected.program = .mountd
        expected.programName = "mountd"
        expected.version = 3
        expected.procedure = "getport"
        expected.over = .tcp
        expected.reason = .noRule
        expected.xid = 99
        #expect(bench.events == [expected])
        #expect(bench.loop.warden.counters.denied == [.noRule: 1])
    }
}

private let mapping = Mapping(program: .mountd, version: 3, protocolNumber: 6, port: 999)
private let rpcb = RPCB(program: .mountd, version: 3, netID: "tcp", address: "1.2.3.4.5.6", owner: "superuser")
private let remote = RemoteCall(program: .mountd, version: 3, procedure: 5)
