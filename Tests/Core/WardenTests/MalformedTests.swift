import Addresses
import Calls
import CoreSamples
import Firewall
import ONCRPC
import Policy
import Testing

@Suite("malformed") struct MalformedTests {
    static func call(program: UInt32 = 100_000, version: UInt32 = 2, procedure: UInt32, rpc: UInt32 = 2) -> [UInt8] {
        var encoder = XDREncoder()
        for word in [9, 0, rpc, program, version, procedure, 0, 0, 0, 0] as [UInt32] { encoder.uint32(word) }
        return encoder.bytes
    }

    static let messages: [([UInt8], Reply.Body)] = [
        (call(program: 104_316, procedure: 0), .programUnavailable),
        (call(version: 5, procedure: 0), .programMismatch(low: 2, high: 4)),
        (call(procedure: 6), .procedureUnavailable),
        (call(procedure: 3), .garbageArguments),
        (call(procedure: 0, rpc: 3), .rpcMismatch(low: 2, high: 2)),
    ]

    @Test("a stranger's malformed call is left unanswered", arguments: messages, [Transport.udp, .tcp])
    func stranger(message: (bytes: [UInt8], owed: Reply.Body), transport: Transport) {
        let bench = Bench.started([.sample()])
        bench.deliver(IncomingCall(bytes: message.bytes, from: .stranger.over(transport)))
        #expect(bench.replies == [])
        #expect(bench.closed == (transport == .tcp ? [1] : []))
        #expect(bench.events.count == 1)
    }

    @Test("observe mode answers a stranger's, and logs what enforce would: denied", arguments: messages.prefix(4))
    func observed(message: (bytes: [UInt8], owed: Reply.Body)) {
        let bench = Bench.started([.sample()], settings: .observing)
        bench.deliver(IncomingCall(bytes: message.bytes, from: .stranger.over(.tcp)))
        #expect(bench.replies.map(\.reply.body) == [message.owed])
        #expect(bench.events.map(\.kind) == [.denied])
        #expect(bench.events.first?.reason == .stranger && bench.events.first?.isEnforced == false)
        let counters = bench.loop.warden.counters
        #expect((counters.permitted, counters.malformed) == (1, 0))
    }

    @Test("is logged in the words of RFC 5531, by the procedure's name where there is one")
    func words() {
        let bench = Bench.started([.sample()])
        for (bytes, _) in Self.messages { bench.deliver(IncomingCall(bytes: bytes, from: .named)) }
        #expect(
            bench.events(.malformed).map(\.detail) == [
                "PROG_UNAVAIL", "PROG_MISMATCH", "PROC_UNAVAIL", "GARBAGE_ARGS", "RPC_MISMATCH",
            ])
        #expect(bench.events(.malformed).map(\.procedure) == ["0", "0", "6", "getport", nil])
    }

    @Test("a named client gets the error that RFC 5531 asks for", arguments: messages, [Transport.udp, .tcp])
    func named(message: (bytes: [UInt8], owed: Reply.Body), transport: Transport) {
        let bench = Bench.started([.sample()])
        bench.deliver(IncomingCall(bytes: message.bytes, from: .named.over(transport)))
        #expect(bench.replies == [.init(reply: Reply(xid: 9, body: message.owed), peer: .named.over(transport))])
        #expect((bench.events(.malformed).count, bench.loop.warden.counters.malformed) == (1, 1))
    }

    @Test("an error that is longer than its datagram is not sent")
    func shorterThanItsError() {
        let bench = Bench.started([.sample()])
        let short = Array(Self.call(procedure: 0, rpc: 3).prefix(12))
        bench.deliver(IncomingCall(bytes: short, from: .named))
        #expect(bench.replies == [])
        bench.deliver(IncomingCall(bytes: short, from: .named.over(.tcp)))
        #expect(bench.replies.count == 1)
        #expect(bench.events(.malformed).map(\.detail) == ["RPC_MISMATCH", "RPC_MISMATCH"])
    }

    @Test("what is no call is never answered: two portmappers must not talk to each other")
    func undecodable() {
        let bench = Bench.started([.sample()])
        bench.deliver(IncomingCall(bytes: Reply(xid: 5, body: .programUnavailable).encoded, from: .named))
        bench.deliver(IncomingCall(bytes: [], from: .named.over(.tcp)))
        #expect((bench.replies, bench.closed) == ([], [1]))
        #expect(bench.loop.warden.counters.malformed == 2)
    }

    @Test("a stream that can't be followed is closed and logged")
    func record() {
        let bench = Bench.started()
        bench.handle { $0.recordRefused(.named.over(.tcp), .tooLong(bytes: 5000, limit: 4096), at: $1, into: &$2) }
        #expect(bench.closed == [1])
        #expect(bench.events.map(\.kind) == [.malformed])
    }
}
