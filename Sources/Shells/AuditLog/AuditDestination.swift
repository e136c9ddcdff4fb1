import AuditTrail
import Clock
import Configuration
import Glibc
import System

/// The opened destination: the journal's socket, stderr, or a file. A write only takes as much as there is room
/// for; only the disk of a file can block it.
public struct AuditDestination: Sendable {
    enum Outcome: Equatable {
        case wrote(Int)
        /// No room at present; the descriptor becomes writable when there is.
        case busy
        /// An errno. No event announces the recovery.
        case failed(Int32)
    }

    private enum Kind {
        case file(path: String)
        /// Pipes, terminals, devices: shared with other processes, so their blocking mode isn't changed; they are
        /// polled before a write.
        case stream
        case streamSocket
        case journal(path: String)
    }

    private let kind: Kind
    private(set) var descriptor: Int32
    /// The name in messages.
    let name: String

    private static let journalPath = "/run/systemd/journal/socket"

    public init(_ settings: Settings.Audit) throws(AuditLogError) {
        try self.init(settings, journalPath: Self.journalPath)
    }

    init(_ settings: Settings.Audit, journalPath: String) throws(AuditLogError) {
        switch (settings.destination, settings.file) {
        case (.file, let path?): try self.init(path: path)
        case (.journal, _):
            // Without systemd there is no journal; supervisors read stderr.
            guard let journal = try Self(journalPath: journalPath) else { fallthrough }
            self = journal
        case (.stderr, _), (.file, nil):
            self.init(STDERR_FILENO, name: "stderr", Self.isSocket(STDERR_FILENO) ? .streamSocket : .stream)
        }
    }

    private init(_ descriptor: Int32, name: String, _ kind: Kind) {
        (self.descriptor, self.name, self.kind) = (descriptor, name, kind)
    }

    private init(path: String) throws(AuditLogError) {
        self = try Self.open(path)
        endTornLine(path)
    }

    private static func open(_ path: String) throws(AuditLogError) -> Self {
        // O_NONBLOCK is for files that aren't regular: opening a FIFO without a reader would block.
        let flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK
        let descriptor = Glibc.open(path, flags, 0o640)
        guard descriptor >= 0 else { throw AuditLogError(destination: path, code: errno) }
        return Self(descriptor, name: path, .file(path: path))
    }

    /// Ends a line that an earlier daemon left torn, so that the next one is a line of its own.
    ///
    /// The log is opened for appending alone, so its last byte is read by another descriptor. Where that can't be done, an
    /// empty line does no harm.
    private func endTornLine(_ path: String) {
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size > 0 else { return }
        var last: UInt8 = 0
        let reader = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        if reader >= 0 {
            let isRead = pread(reader, &last, 1, status.st_size - 1) == 1
            Glibc.close(reader)
            if isRead, last == UInt8(ascii: "\n") { return }
        }
        _ = Glibc.write(descriptor, "\n", 1)
    }

    private init?(journalPath: String) throws(AuditLogError) {
        let descriptor: Int32
        do throws(Errno) {
            descriptor = try UnixSocket.make(.datagram)
        } catch {
            throw AuditLogError(destination: "the journal", code: error.code)
        }
        self.init(descriptor, name: "the journal", .journal(path: journalPath))
        guard connect(to: journalPath) else {
            Glibc.close(descriptor)
            return nil
        }
    }

    var format: AuditFormat {
        switch kind {
        case .journal: .journal
        case .file, .stream, .streamSocket: .line
        }
    }

    func close() {
        if descriptor != STDERR_FILENO { Glibc.close(descriptor) }
    }

    /// Writes the rest of the batch, or the first part of it.
    func write(_ batch: AuditBatch) -> Outcome {
        batch.withBytesLeft { bytes in
            switch kind {
            case .file: outcome(Glibc.write(descriptor, bytes.baseAddress, bytes.count))
            case .stream where !StandardError.isWritable(descriptor): .busy
            case .stream:
                outcome(
                    Glibc.write(descriptor, bytes.baseAddress, batch.length(fittingIn: StandardError.chunkBytesMax)))
            case .streamSocket: outcome(send(bytes, count: bytes.count))
            case .journal(let path): reconnecting(to: path, outcome(send(bytes, count: batch.messageBytesLeft)))
            }
        }
    }

    private func send(_ bytes: UnsafeRawBufferPointer, count: Int) -> Int {
        Glibc.send(descriptor, bytes.baseAddress, count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
    }

    private func outcome(_ count: Int) -> Outcome {
        guard count < 0 else { return .wrote(count) }
        switch errno {
        case EINTR: return .wrote(0)
        case EAGAIN: return .busy
        default: return .failed(errno)
        }
    }

    /// Reconnects after a failure: a restarted journal has another socket.
    private func reconnecting(to path: String, _ outcome: Outcome) -> Outcome {
        if case .failed = outcome { _ = connect(to: path) }
        return outcome
    }

    private func connect(to path: String) -> Bool {
        do {
            try UnixSocket.connect(descriptor, to: path)
            return true
        } catch {
            return false
        }
    }

    /// Opens the file again; the old file keeps only whole lines. Other destinations stay as they are.
    mutating func reopen(_ batch: inout AuditBatch) throws(AuditLogError) {
        guard case .file(let path) = kind else { return }
        let fresh = try Self.open(path)
        // Both may be the same file: its torn line is cut before it would be ended.
        cutTornLine(of: batch)
        batch.restartMessage()
        close()
        fresh.endTornLine(path)
        self = fresh
    }

    /// Truncates a partly written line, such as one that a full disk cut off.
    func cutTornLine(of batch: AuditBatch) {
        var status = stat()
        guard batch.messageBytesWritten > 0, fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG
        else { return }
        let length = status.st_size - batch.messageBytesWritten
        if length >= 0 { _ = ftruncate(descriptor, length) }
    }

    private static func isSocket(_ descriptor: Int32) -> Bool {
        var status = stat()
        return fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFSOCK
    }
}

/// The format of events at their destination.
enum AuditFormat {
    case line
    case journal

    func message(_ event: AuditEvent, at time: Timestamp) -> [UInt8] {
        let fields = AuditField.fields(of: event, at: time)
        switch self {
        case .line: return AuditLine(fields).bytes
        case .journal: return JournalEntry(event, fields).bytes
        }
    }
}
