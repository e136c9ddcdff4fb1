import Glibc
import System

/// The one thread that writes the log: takes what waits, and tries until it is written.
struct AuditThread: Sendable {
    private let writer: AuditWriter
    private var destination: AuditDestination
    private var batch = AuditBatch()
    /// When stderr may be told again.
    private var nextComplaint: ContinuousClock.Instant?

    /// How soon a destination that failed is tried again.
    static let retryPeriod: Duration = .milliseconds(100)
    /// A destination that takes nothing for so long is worth a complaint.
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

    /// What pthread_create passes on.
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

    /// Also ends when the bell rings, or the log's time is up.
    private func wait(or descriptor: Int32 = -1, within limit: Duration?) {
        // The end rings the bell, so who waits without a limit has no deadline yet.
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
