import AuditTrail
import Clock
import Configuration
import Glibc
import System

/// The journal's socket, stderr, or a file, opened. A write takes what there is room for; only a file's disk can make it wait.
public struct AuditDestination: Sendable {
    enum Outcome: Equatable {
        case wrote(Int)
        /// Its descriptor tells when there is room.
        case busy
        /// An errno. Nothing tells when it will be better.
        case failed(Int32)
    }

    private enum Kind {
        case file(path: String)
        /// Pipes, terminals, devices: shared, so they stay as blocking as they are, and are asked first.
        case stream
        case streamSocket
        case journal(path: String)
    }

    private let kind: Kind
    private(set) var descriptor: Int32
    /// As messages call it.
    let name: String

    private static let journalPath = "/run/systemd/journal/socket"

    public init(_ settings: Settings.Audit) throws(AuditLogError) {
        try self.init(settings, journalPath: Self.journalPath)
    }

    init(_ settings: Settings.Audit, journalPath: String) throws(AuditLogError) {
        switch (settings.destination, settings.file) {
        case (.file, let path?): try self.init(path: path)
        case (.journal, _):
            // Without systemd there is no journal: stderr is where a supervisor looks.
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
        // O_NONBLOCK is for what is no regular file: a FIFO nobody reads.
        let flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK
        let descriptor = Glibc.open(path, flags, 0o640)
        guard descriptor >= 0 else { throw AuditLogError(destination: path, code: errno) }
        self.init(descriptor, name: path, .file(path: path))
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

    /// Writes what is left of the batch, or the first part of it.
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

    /// A journal that was started again has another socket.
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

    /// Opens the file anew; the old one keeps whole lines only. Other destinations stay as they are.
    mutating func reopen(_ batch: inout AuditBatch) throws(AuditLogError) {
        guard case .file(let path) = kind else { return }
        let fresh = try Self(path: path)
        cutTornLine(of: batch)
        batch.restartMessage()
        close()
        self = fresh
    }

    /// Takes back what a full disk let in of a line.
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

/// How an event is told to its destination.
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
