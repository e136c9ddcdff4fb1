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
        for index in 0..<Pipeline.waitingMax { #expect(pipeline.ask(question(UInt32(index)), at: start)) }
        #expect(!pipeline.ask(question(7), at: start))
    }

    @Test("keeps no more in flight than rpcbind bears, and sends the next as answers come")
    func window() {
        var pipeline = pipeline()
        for index in 0..<UInt32(200) { _ = pipeline.ask(question(index), at: start) }
        let sent = pipeline.takeSendable(at: start)
        #expect(sent.count == Pipeline.inFlightMax)
        #expect(pipeline.takeSendable(at: start).isEmpty)
        #expect(pipeline.replied(xid: xid(sent[0])) == question(0))
        #expect(pipeline.takeSendable(at: start).count == 1)
    }

    @Test("takes no answer twice, and none that nobody asked for")
    func strayReplies() {
        var pipeline = pipeline()
        _ = pipeline.ask(question(1), at: start)
        let message = pipeline.takeSendable(at: start)[0]
        #expect(pipeline.replied(xid: 12) == nil)
        #expect(pipeline.replied(xid: xid(message)) == question(1))
        #expect(pipeline.replied(xid: xid(message)) == nil)
    }

    @Test("gives every message an xid of its own, also where the numbers wrap")
    func xids() {
        var pipeline = pipeline()
        for index in 0..<UInt32(5) { _ = pipeline.ask(question(index), at: start) }
        #expect(pipeline.takeSendable(at: start).map(xid) == [0xffff_ffff, 0, 1, 2, 3])
    }

    @Test("fails what is not answered in time, sent or waiting, and nothing sooner")
    func deadlines() {
        var pipeline = pipeline()
        for index in 0..<UInt32(130) { _ = pipeline.ask(question(index), at: start) }
        _ = pipeline.takeSendable(at: start)
        #expect(pipeline.takeLate(at: start + .milliseconds(799)).isEmpty)
        #expect(pipeline.takeLate(at: start + .milliseconds(800)).count == 130)
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
        #expect(lossy.takeResendable(at: start + .milliseconds(399)).isEmpty)
        #expect(lossy.takeResendable(at: start + .milliseconds(400)) == first)
        #expect(lossy.takeResendable(at: start + .milliseconds(700)).isEmpty)
        #expect(stream.takeResendable(at: start + .milliseconds(700)).isEmpty)
    }

    @Test("asks again what a broken stream owes, once, and in order")
    func reconnect() {
        var pipeline = pipeline()
        _ = pipeline.ask(question(1), at: start)
        _ = pipeline.ask(question(2), at: start)
        _ = pipeline.takeSendable(at: start)
        #expect(pipeline.disconnected().isEmpty)
        let again = pipeline.takeSendable(at: start)
        #expect(again.map { pipeline.replied(xid: xid($0)) } == [question(1), question(2)])
        _ = pipeline.ask(question(3), at: start)
        _ = pipeline.takeSendable(at: start)
        _ = pipeline.disconnected()
        _ = pipeline.takeSendable(at: start)
        #expect(pipeline.disconnected() == [question(3)])
    }
}
