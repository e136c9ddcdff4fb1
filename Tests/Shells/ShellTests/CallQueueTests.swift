import Addresses
import Calls
import Clock
import ONCRPC
import Portmapper
import Testing

@testable import RpcbindClient

@Suite("pipeline to rpcbind")
struct CallQueueTests {
    private let start = Instant(nanoseconds: 1_000_000_000)

    private func question(_ program: UInt32) -> Question {
        .port(Mapping(program: Program(program), version: 3, protocolNumber: 6, port: 0))
    }

    private func pipeline(oldestVersion: PortmapperVersion = .v2) -> CallQueue {
        CallQueue(timeout: .milliseconds(800), firstXID: 0xffff_fffe, oldestVersion: oldestVersion)
    }

    private func xid(_ message: [UInt8]) -> UInt32 {
        message.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    }

    @Test("refuses questions when too many wait")
    func full() {
        var pipeline = pipeline()
        for index in 0..<CallQueue.waitingMax {
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
        #expect(sent.count == CallQueue.inFlightMax)
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
        let isEarly = pipeline.takeLate(at: start + .milliseconds(799)).questions.isEmpty
        #expect(isEarly)
        let late = pipeline.takeLate(at: start + .milliseconds(800))
        #expect(late.questions.count == 130 && late.isStuck)
        #expect(pipeline.isEmpty)
    }

    @Test("a stall of this process counts to no question's time, and gives none more than the timeout")
    func stall() {
        var pipeline = pipeline()
        pipeline.timeAdvanced(to: start)
        _ = pipeline.ask(question(1), at: start)
        _ = pipeline.ask(.registry, at: start)
        let sent = pipeline.takeSendable(at: start)
        _ = pipeline.ask(question(2), at: start)
        let resumed = start + .seconds(60)
        _ = pipeline.ask(question(3), at: resumed)
        pipeline.timeAdvanced(to: resumed)
        let atOnce = pipeline.takeLate(at: resumed)
        #expect(atOnce.questions.isEmpty && !atOnce.isStuck)
        let answered = pipeline.replied(xid: xid(sent[0]))
        #expect(answered == question(1))
        for passed in stride(from: Int64(50), through: 650, by: 50) {
            pipeline.timeAdvanced(to: resumed + .milliseconds(passed))
            let isEarly = pipeline.takeLate(at: resumed + .milliseconds(passed)).questions.isEmpty
            #expect(isEarly)
        }
        pipeline.timeAdvanced(to: resumed + .milliseconds(700))
        let late = pipeline.takeLate(at: resumed + .milliseconds(700))
        #expect(late.questions == [.registry, question(2)] && late.isStuck)
        let last = pipeline.takeLate(at: resumed + .milliseconds(800)).questions
        #expect(last == [question(3)])
    }

    @Test("a listing may take its time while its bytes come, but not for ever; a look-up may not")
    func longListing() {
        var pipeline = pipeline()
        _ = pipeline.ask(.registry, at: start)
        _ = pipeline.ask(question(1), at: start)
        _ = pipeline.takeSendable(at: start)
        var now = start
        var late: [Question] = []
        for _ in 0..<18 {
            now = now + .milliseconds(500)
            pipeline.partArrived(at: now)
            let overdue = pipeline.takeLate(at: now)
            #expect(!overdue.isStuck)
            late += overdue.questions
        }
        #expect(late == [question(1)])
        #expect(pipeline.isReceiving(at: now) && !pipeline.isReceiving(at: now + .milliseconds(800)))
        let silent = pipeline.takeLate(at: now + .milliseconds(800)).questions
        #expect(silent == [.registry])

        _ = pipeline.ask(.registry, at: start)
        _ = pipeline.takeSendable(at: start)
        now = start + CallQueue.listingTimeMax
        pipeline.partArrived(at: now)
        let tooLong = pipeline.takeLate(at: now)
        #expect(tooLong.questions == [.registry] && tooLong.isStuck)
    }

    @Test("what was never sent says nothing of the stream")
    func lateInTheQueue() {
        var pipeline = pipeline()
        for index in 0..<UInt32(128) { _ = pipeline.ask(question(index), at: start + .milliseconds(700)) }
        _ = pipeline.takeSendable(at: start + .milliseconds(700))
        _ = pipeline.ask(question(500), at: start)
        let late = pipeline.takeLate(at: start + .milliseconds(800))
        #expect(late.questions == [question(500)] && !late.isStuck)
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

    /// The version of the DUMP that is sent next, with its xid.
    private func sentDump(_ pipeline: inout CallQueue) throws -> (xid: UInt32, version: UInt32) {
        let messages = pipeline.takeSendable(at: start)
        let message = try #require(messages.first)
        #expect(messages.count == 1)
        return try message.withUnsafeBytes { bytes in
            var decoder = XDRDecoder(bytes)
            let header = try CallHeader(from: &decoder)
            return (header.xid, header.version)
        }
    }

    @Test("asks for a list in older versions, until one is there, and the newest again on a new stream")
    func olderVersions() throws {
        var pipeline = pipeline()
        _ = pipeline.ask(.registry, at: start)
        for version in [UInt32(4), 3] {
            let dump = try sentDump(&pipeline)
            #expect(dump.version == version && pipeline.dumpVersion(of: dump.xid)?.rawValue == version)
            let isAskedAgain = pipeline.askOlder(insteadOf: dump.xid)
            #expect(isAskedAgain && pipeline.dumpVersion(of: dump.xid) == nil)
            let isAskedTwice = pipeline.askOlder(insteadOf: dump.xid)
            #expect(!isAskedTwice, "it is not in flight any more")
        }
        let oldest = try sentDump(&pipeline)
        #expect(oldest.version == 2)
        let answered = pipeline.replied(xid: oldest.xid)
        #expect(answered == .registry)
        _ = pipeline.ask(.registry, at: start)
        let next = try sentDump(&pipeline)
        #expect(next.version == 2)
        let givenUp = pipeline.disconnected()
        #expect(givenUp.isEmpty)
        let anew = try sentDump(&pipeline)
        #expect(anew.version == 4)
    }

    @Test("asks for a list in no version older than the oldest, and takes no longer for the older ones")
    func oldestVersion() throws {
        var pipeline = pipeline(oldestVersion: .v4)
        _ = pipeline.ask(.registry, at: start)
        let dump = try sentDump(&pipeline)
        let isAskedAgain = pipeline.askOlder(insteadOf: dump.xid)
        #expect(!isAskedAgain)
        let answered = pipeline.replied(xid: dump.xid)
        #expect(answered == .registry)

        pipeline = self.pipeline()
        _ = pipeline.ask(.registry, at: start)
        _ = pipeline.askOlder(insteadOf: try sentDump(&pipeline).xid)
        let late = pipeline.takeLate(at: start + .milliseconds(800)).questions
        #expect(late == [.registry])
    }

    @Test("a look-up has one version")
    func lookUp() throws {
        var pipeline = pipeline()
        _ = pipeline.ask(question(1), at: start)
        let sent = try sentDump(&pipeline)
        #expect(sent.version == 2 && pipeline.dumpVersion(of: sent.xid) == nil)
        let isAskedAgain = pipeline.askOlder(insteadOf: sent.xid)
        #expect(!isAskedAgain)
    }
}
