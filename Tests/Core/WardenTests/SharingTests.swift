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

@Suite("sharing") struct SharingTests {
    @Test("the same port and xid with another question is another call")
    func otherCall() {
        let bench = Bench.started([.sample(to: [.mountd, .status])])
        bench.holdsQuestions = true
        bench.call(.port(of: .mountd), from: .named)
        bench.call(.port(of: .status, version: 1), from: .named)
        bench.call(.port(of: .status, version: 1), from: .named)
        bench.holdsQuestions = false
        bench.answerAll()
        #expect(bench.replies.count == 2)
        #expect(bench.loop.warden.counters.duplicates == 1)
        #expect(bench.isQuiet)
    }

    @Test("a retransmission is not asked and not answered twice; the same xid of another port is a call of its own")
    func duplicates() {
        let bench = Bench.started([.sample()])
        bench.holdsQuestions = true
        for _ in 0..<3 { bench.call(.port(of: .mountd), from: .named) }
        bench.call(.port(of: .mountd), from: .from("10.1.2.3", port: 701))
        bench.holdsQuestions = false
        bench.answerAll()
        #expect(bench.replies.map(\.peer.port).sorted() == [700, 701])
        #expect(bench.loop.warden.counters.duplicates == 2)
        bench.call(.port(of: .mountd), from: .named)
        #expect(bench.replies.count == 3)
    }

    @Test(
        "five datagrams alike cost one question and one answer, whatever is asked of rpcbind",
        arguments: [
            .port(of: .mountd), .address(of: .mountd), .address(of: .mountd, as: .v3), .versionAddress(of: .mountd),
            .dump(.v2), .dump(.v4), .addressList(of: .mountd),
        ] as [PortmapperCall])
    func fiveTimes(call: PortmapperCall) {
        let bench = Bench.started([.sample(lists: true)], settings: Settings().with { $0.limits.listsOverUDP = true })
        bench.holdsQuestions = true
        for _ in 0..<5 { bench.call(call, from: .named) }
        #expect(bench.asked.count == 1)
        bench.holdsQuestions = false
        bench.answerAll()
        #expect(bench.replies.count == 1)
        #expect(bench.loop.warden.counters.duplicates == 4)
        #expect(bench.isQuiet)
        bench.call(call, from: .named)
        #expect((bench.asked.count, bench.replies.count) == (2, 2), "what was answered may be asked again")
    }

    @Test("a call that failed upstream may be sent again with the same xid")
    func afterFailure() {
        let bench = Bench.started([.sample()])
        bench.holdsQuestions = true
        for _ in 0..<3 { bench.call(.port(of: .mountd), from: .named) }
        bench.loseAll()
        #expect(bench.replies.map(\.reply.body) == [.authError(.failed)])
        bench.holdsQuestions = false
        #expect(bench.ask(.port(of: .mountd), from: .named) == [PortmapperResult.port(20048).body])
    }

    @Test("over TCP the same xid twice is two calls")
    func tcp() {
        let bench = Bench.started([.sample()])
        bench.holdsQuestions = true
        for _ in 0..<2 { bench.call(.port(of: .mountd), from: .named.over(.tcp)) }
        bench.holdsQuestions = false
        bench.answerAll()
        #expect(bench.replies.count == 2)
    }

    @Test("those who ask while a question is on its way get the answer of one that is asked after it")
    func neverOlder() {
        let bench = Bench.started([.sample()])
        bench.holdsQuestions = true
        bench.call(.port(of: .mountd), from: .named)
        let (stale, question) = (bench.rpcbind, bench.asked)
        bench.rpcbind.registrations =
            .typical.filter { $0.program != .mountd } + RPCB.everywhere(.mountd, 3, port: 4002)
        for client in 4...9 { bench.call(.port(of: .mountd), from: .from("10.1.2.\(client)")) }
        #expect(bench.asked == question)
        let fresh = bench.rpcbind
        bench.rpcbind = stale
        bench.answerOne()
        bench.handle { $0.flush(at: $1, into: &$2) }
        #expect(bench.replies.map(\.reply.body) == [PortmapperResult.port(20048).body])
        bench.rpcbind = fresh
        bench.holdsQuestions = false
        bench.answerAll()
        #expect(bench.asked.filter { $0 != .registry }.count == 2)
        #expect(
            bench.replies.dropFirst().map(\.reply.body) == Array(repeating: PortmapperResult.port(4002).body, count: 6))
    }

    @Test("clients that share an answer share one look at the listeners and one transaction")
    func storm() {
        let bench = Bench.started([.sample()])
        bench.holdsQuestions = true
        bench.call(.port(of: .mountd), from: .from("10.1.3.255"))
        for client in 0..<100 { bench.call(.port(of: .mountd), from: .from("10.1.3.\(client)")) }
        bench.answerAll()
        #expect(bench.replies.count == 101)
        #expect(bench.inspections.count == 2)
        #expect(bench.kernel.committed.count <= 2)
    }

    /// A different question for each number.
    private static let lookups: [@Sendable (Int) -> PortmapperCall] = [
        { .port(of: .mountd, version: UInt32($0)) }, { .address(of: .mountd, version: UInt32($0)) },
        { $0 % 2 == 0 ? .port(of: .mountd, version: UInt32($0)) : .address(of: .mountd, version: UInt32($0)) },
    ]

    @Test(
        "remote calls leave room in the channels to rpcbind for this host and for the registry",
        arguments: lookups.indices)
    func questions(kind: Int) {
        let lookup = Self.lookups[kind]
        let bench = Bench.started([.sample()], settings: Settings().with { $0.limits.callsPerSecond = 10_000 })
        bench.holdsQuestions = true
        for number in 0..<4000 {
            let peer = Peer.from("10.1.\(number / 256).\(number % 256)")
            bench.call(lookup(number), from: peer)
        }
        let overUDP = Exchanges.questionsMax - Exchanges.questionsTCPReserve
        #expect(bench.denials.count == 4000 - overUDP && Set(bench.denials) == [.rate])
        // The calls over UDP may have been forged, so places are reserved for TCP.
        for number in 4000..<4010 {
            bench.call(lookup(number), from: .from("10.1.200.1").over(.tcp))
        }
        #expect(bench.denials.count == 4000 - overUDP)
        for number in 5000..<7000 {
            let peer = Peer.from("10.1.\(number / 256).\(number % 256)").over(.tcp)
            bench.call(lookup(number), from: peer)
        }
        #expect(bench.asked.count <= Exchanges.questionsMax + 1)
        #expect(bench.loop.warden.watch.denialEntries(since: .zero).contains { $0.client == ip("10.1.26.1") })
        let before = bench.asked.count
        bench.call(.port(of: .status, version: 77), from: .loopback)
        #expect(bench.asked.count == before + 1)
    }

    @Test("one client can't take all places")
    func perClient() {
        let bench = Bench.started([.sample()], settings: Settings().with { $0.limits.callsPerSecond = 10_000 })
        bench.holdsQuestions = true
        for xid in 0..<UInt32(Exchanges.callsPerClientMax + 1) {
            bench.call(.port(of: .mountd), from: .named, xid: xid)
        }
        #expect(bench.denials == [.rate])
        bench.call(.port(of: .mountd), from: .from("10.1.2.4"))
        // The calls over UDP may have been forged with this client's address.
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        bench.holdsQuestions = false
        bench.answerAll()
        #expect(bench.denials == [.rate])
        #expect(bench.replies.count == Exchanges.callsPerClientMax + 2)
        #expect(bench.isQuiet)
    }
}
