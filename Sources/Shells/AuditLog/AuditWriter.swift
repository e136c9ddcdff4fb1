import AuditTrail
import Clock
import Glibc
import Synchronization

/// State shared by the event loop and the writer thread.
final class AuditWriter: Sendable {
    private struct State {
        var queue: AuditQueue
        /// Whether the thread sleeps until the bell rings.
        var isIdle = false
        var wantsReopening = false
        /// Set when the log is closing: the time after which unwritten messages are given up.
        var deadline: ContinuousClock.Instant?
    }

    /// Wakes the thread when there is work.
    let bell: WakeupPipe
    /// Rings once the thread has ended, and keeps ringing.
    private let hasEnded: WakeupPipe
    private let format: AuditFormat
    private let state: Mutex<State>

    init(_ format: AuditFormat, queueBytesMax: Int) throws(AuditLogError) {
        bell = try WakeupPipe()
        hasEnded = try WakeupPipe()
        self.format = format
        state = Mutex(State(queue: AuditQueue(bytesMax: queueBytesMax)))
    }

    // MARK: The event loop's side: none of this waits

    func write(_ event: AuditEvent, at time: Timestamp) {
        let isFull = state.withLock { state in
            if state.queue.isFull { state.queue.miss(event, at: time) }
            return state.queue.isFull
        }
        guard !isFull else { return }
        let message = format.message(event, at: time)
        let wakes = state.withLock { state in
            if !state.queue.append(message) { state.queue.miss(event, at: time) }
            defer { state.isIdle = false }
            return state.isIdle
        }
        if wakes { bell.ring() }
    }

    func reopen() {
        state.withLock { $0.wantsReopening = true }
        bell.ring()
    }

    var missed: Int { state.withLock { $0.queue.missed } }
    var unwritten: Int { state.withLock { $0.queue.unwritten } }

    /// Ends the thread when all is written, or after `limit`; waits for its end.
    func close(within limit: Duration) {
        state.withLock { state in
            if state.deadline == nil { state.deadline = .now + limit }
        }
        bell.ring()
        hasEnded.wait(within: limit + Self.endingTime)
    }

    /// Extra time for the thread to notice the deadline.
    private static let endingTime: Duration = .milliseconds(100)

    // MARK: The thread's side

    var deadline: ContinuousClock.Instant? { state.withLock { $0.deadline } }
    var isEmpty: Bool { state.withLock { $0.queue.isEmpty } }

    /// The waiting messages; if there are none, the next event rings the bell.
    func take() -> AuditBatch {
        state.withLock { state in
            let batch = state.queue.take(format.message)
            state.isIdle = batch.isWritten
            return batch
        }
    }

    func takeReopening() -> Bool {
        state.withLock { state in
            defer { state.wantsReopening = false }
            return state.wantsReopening
        }
    }

    func progressed(to batch: AuditBatch) { state.withLock { $0.queue.progressed(to: batch) } }

    func ended() { hasEnded.ring() }
}
