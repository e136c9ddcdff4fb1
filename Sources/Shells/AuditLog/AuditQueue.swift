import AuditTrail
import Clock

/// The bounded queue of messages for the writer; events without room are counted, and reported at their place in
/// the order.
struct AuditQueue {
    /// Some ten thousand lines: minutes at the audit limiter's rate, and little memory.
    static let bytesMax = 4 << 20

    /// Events without room since the writer took the last batch.
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
    /// Bytes and messages that the writer took and has not written yet.
    private var bytesTaken = 0
    private var messagesTaken = 0
    private var missing: Missing?
    /// The total of events without room.
    private(set) var missed = 0

    init(bytesMax: Int = Self.bytesMax) { self.bytesMax = bytesMax }

    /// Messages that are not written yet.
    var unwritten: Int { messagesTaken + waiting.messagesLeft }

    /// Whether no message is left to write, and no loss to report.
    var isEmpty: Bool { unwritten == 0 && missing == nil }

    /// Once an event is lost, all further events are until the next batch, so that the loss has one place in the order.
    var isFull: Bool { missing != nil }

    /// - Returns: `false` if there is no room: the caller must call ``miss(_:at:)``.
    mutating func append(_ message: [UInt8]) -> Bool {
        guard !isFull, bytesTaken + waiting.bytesLeft + message.count <= bytesMax else { return false }
        waiting.append(message)
        return true
    }

    /// Counts a lost event; a lost `suppressed` event counts as the events that it sums up.
    mutating func miss(_ event: AuditEvent, at time: Timestamp) {
        let count = event.kind == .suppressed ? event.count ?? 1 : 1
        missed += count
        if missing == nil { missing = Missing(first: time, last: time, host: event.host) }
        missing?.count += count
        missing?.last = time
    }

    /// All waiting messages for the writer, followed by the report of lost events.
    mutating func take(_ encode: (AuditEvent, Timestamp) -> [UInt8]) -> AuditBatch {
        var batch = AuditBatch()
        swap(&batch, &waiting)
        if let missing { batch.append(encode(missing.event, missing.last)) }
        missing = nil
        (bytesTaken, messagesTaken) = (batch.bytesLeft, batch.messagesLeft)
        return batch
    }

    /// Notes how much of its batch the writer has written.
    mutating func progressed(to batch: AuditBatch) {
        (bytesTaken, messagesTaken) = (batch.bytesLeft, batch.messagesLeft)
    }
}
