import ONCRPC
import Portmapper
import Testing
import Warden

@testable import RpcbindClient

@Suite("pipeline to rpcbind")
struct PipelineTests {
    private let start = Instant(nanoseconds: 1_000_000_000)

    private func question(_ program: UInt32) -> Question {
        .lookup(
            .getPort(Mapping(program: Program(program), version: 3, protocolNumber: 6, port: 0)), over: .local)
    }

    private func pipeline(isLossy: Bool = false) -> Pipeline {
        Pipeline(timeout: .milliseconds(800), isLossy: isLossy, firstXID: 0xffff_fffe)
    }

    private func xid(_ message: [UInt8]) -> UInt32 {
        message.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    }

    @Test("refuses questions when too many wait")
    func full() {
        var pipeline = pipeline()
        for index in 0..<Pipeline.waitingMax {
            let isTaken = pipeline.ask(question(UInt32(index)), at: start)
            #expect(isTaken)
        }
        let isTaken = pipeline.ask(question(7), at: start)
        #expect(!isTaken)
    }

    @Test("keeps no more in flight than rpcbind bears, and sends the next as answers come")
    func window() {
        var pipeline = pipeline()
        for index in 0..<UInt32(200) { _ = pipeline.ask(question(index), at: start) }
        let sent = pipeline.takeSendable(at: start)
        #expect(sent.count == Pipeline.inFlightMax)
        let isExhausted = pipeline.takeSendable(at: start).isEmpty
        #expect(isExhausted)
        let answered = pipeline.replied(xid: xid(sent[0]))
        #expect(answered == question(0))
        let sentNext = pipeline.takeSendable(at: start).count
        #expect(sentNext == 1)
    }

    @Test("takes no answer twice, and none that nobody asked for")
    func strayReplies() {
        var pipeline = pipeline()
        _ = pipeline.ask(question(1), at: start)
        let message = pipeline.takeSendable(at: start)[0]
        let stray = pipeline.replied(xid: 12)
        #expect(stray == nil)
        let first = pipeline.replied(xid: xid(message))
        #expect(first == question(1))
        let second = pipeline.replied(xid: xid(message))
        #expect(second == nil)
    }

    @Test("gives every message an xid of its own, also where the numbers wrap")
    func xids() {
        var pipeline = pipeline()
        for index in 0..<UInt32(5) { _ = pipeline.ask(question(index), at: start) }
        let xids = pipeline.takeSendable(at: start).map(xid)
        #expect(xids == [0xffff_ffff, 0, 1, 2, 3])
    }

    @Test("fails what is not answered in time, sent or waiting, and nothing sooner")
    func deadlines() {
        var pipeline = pipeline()
        for index in 0..<UInt32(130) { _ = pipeline.ask(question(index), at: start) }
        _ = pipeline.takeSendable(at: start)
        let isEarly = pipeline.takeLate(at: start + .milliseconds(799)).isEmpty
        #expect(isEarly)
        let late = pipeline.takeLate(at: start + .milliseconds(800)).count
        #expect(late == 130)
        #expect(pipeline.isEmpty)
    }

    @Test("sends a datagram once more at half time, a stream's message never")
    func resending() {
        var lossy = pipeline(isLossy: true)
        var stream = pipeline()
        _ = lossy.ask(question(1), at: start)
        _ = stream.ask(question(1), at: start)
        let first = lossy.takeSendable(at: start)
        _ = stream.takeSendable(at: start)
        let early = lossy.takeResendable(at: start + .milliseconds(399))
        #expect(early.isEmpty)
        let repeated = lossy.takeResendable(at: start + .milliseconds(400))
        #expect(repeated == first)
        let again = lossy.takeResendable(at: start + .milliseconds(700))
        #expect(again.isEmpty)
        let ofStream = stream.takeResendable(at: start + .milliseconds(700))
        #expect(ofStream.isEmpty)
    }

    @Test("asks again what a broken stream owes, once, and in order")
    func reconnect() {
        var pipeline = pipeline()
        _ = pipeline.ask(question(1), at: start)
        _ = pipeline.ask(question(2), at: start)
        _ = pipeline.takeSendable(at: start)
        let isPatient = pipeline.disconnected().isEmpty
        #expect(isPatient)
        let again = pipeline.takeSendable(at: start)
        let answered = again.map { pipeline.replied(xid: xid($0)) }
        #expect(answered == [question(1), question(2)])
        _ = pipeline.ask(question(3), at: start)
        _ = pipeline.takeSendable(at: start)
        _ = pipeline.disconnected()
        _ = pipeline.takeSendable(at: start)
        let givenUp = pipeline.disconnected()
        #expect(givenUp == [question(3)])
    }
}
