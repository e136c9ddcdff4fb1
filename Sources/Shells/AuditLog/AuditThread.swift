import Glibc
import System

/// The only thread that writes the log: takes the waiting messages, and retries until they are written.
struct AuditThread: Sendable {
    private let writer: AuditWriter
    private var destination: AuditDestination
    private var batch = AuditBatch()
    /// Earliest time of the next complaint on stderr.
    private var nextComplaint: ContinuousClock.Instant?

    /// The delay before a destination that failed is tried again.
    static let retryPeriod: Duration = .milliseconds(100)
    /// A destination that is blocked for so long is reported on stderr.
    static let patience: Duration = .seconds(1)
    static let complaintPeriod: Duration = .seconds(60)

    private init(_ writer: AuditWriter, _ destination: AuditDestination) {
        (self.writer, self.destination) = (writer, destination)
    }

    static func start(_ writer: AuditWriter, _ destination: AuditDestination) throws(AuditLogError) {
        let start = Unmanaged.passRetained(Start(thread: AuditThread(writer, destination)))
        var thread = pthread_t()
        let code = pthread_create(&thread, nil, { Start.run($0) }, start.toOpaque())
        guard code == 0 else {
            start.release()
            throw AuditLogError(destination: "a thread", code: code)
        }
        pthread_detach(thread)
    }

    /// The context that pthread_create passes to the thread.
    private final class Start: Sendable {
        let thread: AuditThread
        init(thread: AuditThread) { self.thread = thread }

        static func run(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
            guard let context else { return nil }
            var signals = sigset_t()
            sigfillset(&signals)
            pthread_sigmask(SIG_BLOCK, &signals, nil)
            var thread = Unmanaged<Start>.fromOpaque(context).takeRetainedValue().thread
            thread.run()
            return nil
        }
    }

    private mutating func run() {
        while !isDone() {
            if writer.takeReopening() { reopen() }
            if batch.isWritten { batch = writer.take() }
            if batch.isWritten {
                wait(within: nil)
            } else {
                write()
            }
        }
        destination.cutTornLine(of: batch)
        destination.close()
        writer.ended()
    }

    private func isDone() -> Bool {
        guard let deadline = writer.deadline else { return false }
        return writer.isEmpty || .now >= deadline
    }

    private mutating func write() {
        switch destination.write(batch) {
        case .wrote(let count):
            batch.wrote(count)
            writer.progressed(to: batch)
        case .busy:
            let start = ContinuousClock.now
            wait(or: destination.descriptor, within: Self.patience)
            if .now - start >= Self.patience { complain(EAGAIN) }
        case .failed(let code):
            complain(code)
            wait(within: Self.retryPeriod)
        }
    }

    /// Waits for the descriptor; also returns when the bell rings, or after the log's deadline.
    private func wait(or descriptor: Int32 = -1, within limit: Duration?) {
        // Closing sets the deadline and rings the bell, so a wait without limit needs no deadline.
        let left = writer.deadline.map { max(.zero, $0 - .now) }
        writer.bell.wait(or: descriptor, within: left.map { min($0, limit ?? $0) } ?? limit)
        writer.bell.silence()
    }

    private mutating func reopen() {
        do {
            try destination.reopen(&batch)
            writer.progressed(to: batch)
        } catch {
            StandardError.write("rpcwarden: \(error); the old one stays in use")
        }
    }

    private mutating func complain(_ code: Int32) {
        if let nextComplaint, .now < nextComplaint { return }
        nextComplaint = .now + Self.complaintPeriod
        let error = AuditLogError(destination: destination.name, code: code)
        StandardError.write("rpcwarden: \(error); lines wait, and are counted where there is no more room")
    }
}
