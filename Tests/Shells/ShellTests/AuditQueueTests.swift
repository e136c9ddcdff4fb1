import AuditTrail
import Clock
import Testing

@testable import AuditLog

@Suite("audit queue")
struct AuditQueueTests {
    /// Messages are identified by their number; a sum contains the number of messages that it stands for.
    private static func encode(_ event: AuditEvent, _ time: Timestamp) -> [UInt8] {
        Array("\(event.kind.rawValue) \(event.count ?? 0) \(event.detail ?? "");".utf8)
    }

    private static func time(_ milliseconds: Int64) -> Timestamp { Timestamp(milliseconds: milliseconds) }

    /// The messages of a batch.
    private static func texts(_ batch: AuditBatch) -> [String] {
        batch.withBytesLeft { String(decoding: $0, as: UTF8.self) }.split(separator: ";").map(String.init)
    }

    private static func append(_ message: [UInt8], to queue: inout AuditQueue) -> Bool { queue.append(message) }

    @Test("what is taken but not written counts towards the bound")
    func bound() {
        var queue = AuditQueue(bytesMax: 10)
        #expect(Self.append([1, 2, 3, 4, 5, 6], to: &queue))
        var batch = queue.take(Self.encode)
        #expect(queue.unwritten == 1)
        #expect(Self.append([7, 8, 9, 10], to: &queue))
        #expect(Self.append([11], to: &queue) == false)
        batch.wrote(1)
        queue.progressed(to: batch)
        #expect(Self.append([11], to: &queue))
        #expect(queue.unwritten == 3)
        batch.wrote(5)
        queue.progressed(to: batch)
        #expect(queue.unwritten == 2)
    }

    @Test("what finds no room is told of where it is missing, and loses nothing of a sum")
    func missing() {
        var queue = AuditQueue(bytesMax: 4)
        #expect(Self.append(Array("a;".utf8), to: &queue))
        #expect(Self.append(Array("long".utf8), to: &queue) == false)
        queue.miss(AuditEvent(.denied), at: Self.time(1000))
        var sum = AuditEvent(.suppressed)
        sum.count = 41
        queue.miss(sum, at: Self.time(3500))
        // There is room for it, but the earlier messages come first.
        #expect(Self.append(Array("b;".utf8), to: &queue) == false)
        #expect(!queue.isEmpty)
        let batch = queue.take(Self.encode)
        #expect(Self.texts(batch) == ["a", "suppressed 42 the log could not be written: 42 lines lost"])
        #expect(queue.missed == 42 && !queue.isFull)
        let rest = queue.take(Self.encode)
        #expect(rest.isWritten)
        #expect(queue.isEmpty)
    }

    @Test("what is missing says of which host")
    func missingHost() {
        var queue = AuditQueue(bytesMax: 1)
        var event = AuditEvent(.denied)
        event.host = "nfs1"
        queue.miss(event, at: Self.time(1000))
        var host: String?
        _ = queue.take { event, _ in
            host = event.host
            return [0]
        }
        #expect(host == "nfs1")
    }

    @Test("in whatever order events come and batches go: written + suppressed = all, in order", arguments: 0..<10)
    func exact(round: Int) {
        var generator = SystemRandomNumberGenerator()
        var queue = AuditQueue(bytesMax: .random(in: 20...400, using: &generator))
        var (events, written, told, last) = (0, 0, 0, -1)
        for number in 0..<2000 {
            events += 1
            let message = Array("event \(number) \(String(repeating: "x", count: .random(in: 0...40)));".utf8)
            if !queue.append(message) { queue.miss(AuditEvent(.denied), at: Self.time(0)) }
            guard Int.random(in: 0..<9, using: &generator) == 0 || number == 1999 else { continue }
            for text in Self.texts(queue.take(Self.encode)) {
                let words = text.split(separator: " ")
                let count = Int(words[1]) ?? -1
                if words[0] == "suppressed" {
                    told += count
                    // The missing events are reported exactly here.
                    #expect(count > 0 && last + count < events)
                    last += count
                } else {
                    written += 1
                    #expect(count == last + 1)
                    last = count
                }
            }
            var all = AuditBatch()
            all.append([])
            all.wrote(0)
            queue.progressed(to: all)
        }
        #expect(written + told == events && told == queue.missed && queue.isEmpty)
    }

    @Test("a part of a batch is whole messages, as many as fit; a longer message is cut")
    func length() {
        var batch = AuditBatch()
        for count in [3, 4, 20] { batch.append([UInt8](repeating: 0, count: count)) }
        #expect(batch.length(fittingIn: 100) == 27)
        #expect(batch.length(fittingIn: 10) == 7)
        #expect(batch.length(fittingIn: 6) == 3)
        batch.wrote(7)
        #expect(batch.length(fittingIn: 10) == 10)
        batch.wrote(5)
        #expect((batch.messagesLeft, batch.messageBytesLeft, batch.messageBytesWritten) == (1, 15, 5))
        batch.restartMessage()
        #expect((batch.bytesLeft, batch.messageBytesWritten) == (20, 0))
    }
}
