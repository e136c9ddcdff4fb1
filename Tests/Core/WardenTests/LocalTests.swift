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

@testable import Exchanges
@testable import Warden

@Suite("this host") struct LocalTests {
    static let peers: [Peer] = [
        .loopback, .loopback.over(.tcp), .from("::1", asking: ip("::1"), interface: 1, isLocal: true),
        .from("10.1.0.1", .tcp, asking: ip("10.1.0.1"), isLocal: true),
        // The kernel selects the primary address as source although the call goes to a secondary or floating
        // address.
        .from("10.1.0.1", asking: ip("10.1.0.99"), interface: 1, isLocal: true),
        .from("2001:db8:1::1", asking: ip("2001:db8:2::1"), isLocal: true),
        .from("fe80::1", .tcp, asking: ip("fe80::2"), isLocal: true),
    ]

    @Test("looks up and lists everything, whoever registered it; nothing is opened for it", arguments: peers)
    func everything(peer: Peer) {
        let bench = Bench.started(registering: .typical + RPCB.everywhere(.quota, 1, port: 875, owner: "1000"))
        let before = bench.kernel.committed.count
        #expect(bench.ask(.port(of: .quota), from: peer) == [PortmapperResult.port(875).body])
        #expect(bench.ask(.dump(.v2), from: peer).count == 1)
        #expect(bench.ask(.dump(.v4), from: peer).count == 1)
        #expect(bench.ask(.addressList(of: .quota, version: 1), from: peer).count == 1)
        #expect(bench.kernel.committed.count == before)
        #expect(bench.denials == [])
        #expect(bench.isQuiet)
    }

    @Test(
        "a call in our own name is not of this host, unless the kernel says so: anybody can send one",
        arguments: [
            Peer.from("2001:db8:1::1", asking: ip("2001:db8:1::1")), .from("10.1.0.1", asking: ip("10.1.0.1")),
            .from("127.0.0.1", asking: ip("127.0.0.1")), .from("127.0.0.1", asking: ip("10.1.0.1")),
        ])
    func forged(peer: Peer) {
        let bench = Bench.started()
        #expect(bench.ask(.port(of: .mountd), from: peer) == [])
        #expect(bench.denials == [.stranger])
    }

    @Test("SET and UNSET go upstream only with local-registration, and only from this host")
    func registration() {
        let rpcb = RPCB(.quota, 1, .tcp, port: 875)
        let calls: [PortmapperCall] = [
            .set(.v4, rpcb), .unset(.v3, rpcb),
            .setMapping(Mapping(program: .nlockmgr, version: 1, protocolNumber: 6, port: 9)),
            .unsetMapping(Mapping(program: .nlockmgr, version: 1, protocolNumber: 6, port: 9)),
        ]
        var bench = Bench.started()
        for call in calls { bench.call(call, from: .loopback) }
        #expect(bench.denials == Array(repeating: .remoteRegistration, count: 4))
        #expect(bench.asked == [])
        bench = Bench.started([.sample()], settings: Settings().with { $0.rpcbind.permitsLocalRegistration = true })
        for call in calls {
            bench.call(call, from: .named)
            bench.call(call, from: .stranger)
        }
        #expect(bench.asked == [])
        for call in calls { bench.call(call, from: .loopback) }
        #expect(
            bench.asked.filter { $0 != .registry }
                == calls.compactMap(\.rebuiltRegistration).map { .registration($0) })
        #expect(
            bench.replies.suffix(4).map(\.reply.body)
                == [true, false, true, true].map { PortmapperResult.boolean($0).body })
    }

    @Test("SET that claims to be of this host, but came by a network interface, goes nowhere")
    func forgedRegistration() {
        let bench = Bench.started(settings: Settings().with { $0.rpcbind.permitsLocalRegistration = true })
        let forged = Peer.from("127.0.0.1", asking: ip("10.1.0.1"), interface: 2)
        bench.call(.set(.v4, RPCB(.quota, 1, .tcp, port: 875)), from: forged)
        #expect((bench.asked, bench.denials) == ([], [.remoteRegistration]))
        #expect(bench.ownersAsked == [])
    }

    @Test("is answered when remote calls have taken every place")
    func flood() {
        let bench = Bench.started([.sample(from: ["10.0.0.0/8"])])
        bench.holdsQuestions = true
        for client in 0..<UInt32(Exchanges.callsMax + 5) {
            bench.call(.port(of: .mountd), from: .from("\(IPAddress.v4(0x0a02_0000 + client))").over(.tcp))
        }
        #expect(bench.denials == Array(repeating: .rate, count: 5))
        bench.call(.port(of: .status, version: 1), from: .loopback)
        bench.holdsQuestions = false
        bench.answerAll()
        #expect(bench.replies.filter { $0.peer == .loopback }.map(\.reply.body) == [PortmapperResult.port(662).body])
    }

    @Test(
        "its users have places of their own: whatever they ask, remote calls have theirs, TCP's among them",
        arguments: [Transport.udp, .tcp])
    func localFlood(over transport: Transport) {
        let bench = Bench.started([.sample(to: [.mountd, .status])])
        bench.holdsQuestions = true
        let most = transport == .tcp ? Exchanges.localOverTCPMax : Exchanges.localOverUDPMax
        // Each peer calls about another version, from its own address in 127/8.
        for number in 0..<UInt32(20_000) {
            let peer = Peer.from("\(IPAddress.v4(0x7f00_0001 + number % 250))", asking: ip("127.0.0.1"), isLocal: true)
            bench.call(.port(of: .mountd, version: number), from: peer.over(transport), xid: number)
        }
        #expect(bench.loop.warden.counters.denied == [.rate: 20_000 - most])
        #expect(bench.events(.denied).count == 200, "127/8 is one source")
        bench.forget()
        let remote = Exchanges.questionsMax - Exchanges.questionsTCPReserve
        for number in 0..<UInt32(remote) {
            let peer = Peer.from("\(IPAddress.v4(0x0a01_0200 + number))")
            bench.call(.port(of: .status, version: number), from: peer)
        }
        bench.call(.port(of: .mountd), from: .from("10.1.0.9").over(.tcp))
        #expect(bench.denials == [])
        #expect(bench.questions.count <= 4096)
        bench.holdsQuestions = false
        bench.answerAll()
        #expect(bench.isQuiet)
    }
}
