import AuditTrail
import Clock

/// What waits for the writer, bounded; what finds no room is counted, and told of where it is missing.
struct AuditQueue {
    /// Some ten thousand lines: minutes of the audit limiter's rate, and little memory.
    static let bytesMax = 4 << 20

    /// Events that found no room since the writer took the last batch.
    private struct Missing {
        var count = 0
        var first: Timestamp
        var last: Timestamp
        var host: String?

        var event: AuditEvent {
            var event = AuditEvent(.suppressed, detail: "the log could not be written: \(count) lines lost")
            event.count = count
            event.host = host
            event.window = .milliseconds(max(0, last.milliseconds - first.milliseconds))
            return event
        }
    }

    private let bytesMax: Int
    private var waiting = AuditBatch()
    /// What the writer took and has not yet written.
    private var bytesTaken = 0
    private var messagesTaken = 0
    private var missing: Missing?
    /// Events that found no room, ever.
    private(set) var missed = 0

    init(bytesMax: Int = Self.bytesMax) { self.bytesMax = bytesMax }

    /// Messages that are not written yet.
    var unwritten: Int { messagesTaken + waiting.messagesLeft }

    /// Nothing is left to be written, or to be told.
    var isEmpty: Bool { unwritten == 0 && missing == nil }

    /// Once an event is missing all are until the next batch, so that what is missing has one place in the order.
    var isFull: Bool { missing != nil }

    /// - Returns: false when there is no room: ``miss(_:at:)`` is due.
    mutating func append(_ message: [UInt8]) -> Bool {
        guard !isFull, bytesTaken + waiting.bytesLeft + message.count <= bytesMax else { return false }
        waiting.append(message)
        return true
    }

    /// A sum of events that is lost loses them all.
    mutating func miss(_ event: AuditEvent, at time: Timestamp) {
        let count = event.kind == .suppressed ? event.count ?? 1 : 1
        missed += count
        if missing == nil { missing = Missing(first: time, last: time, host: event.host) }
        missing?.count += count
        missing?.last = time
    }

    /// All that waits, for the writer, and behind it what is missing.
    mutating func take(_ encode: (AuditEvent, Timestamp) -> [UInt8]) -> AuditBatch {
        var batch = AuditBatch()
        swap(&batch, &waiting)
        if let missing { batch.append(encode(missing.event, missing.last)) }
        missing = nil
        (bytesTaken, messagesTaken) = (batch.bytesLeft, batch.messagesLeft)
        return batch
    }

    /// The writer has come so far with what it took.
    mutating func progressed(to batch: AuditBatch) {
        (bytesTaken, messagesTaken) = (batch.bytesLeft, batch.messagesLeft)
    }
}
