import Glibc
import Warden

/// A destination that can't be opened; `code` is an errno.
public struct AuditLogError: Error, Hashable, Sendable, CustomStringConvertible {
    public var destination: String
    public var code: Int32

    public var description: String { "can't write the audit log to \(destination): \(String(cString: strerror(code)))" }
}

/// Writes audit events to the journal, to stderr, or to a file.
///
/// Lines gather until ``flush()``. A destination that takes no more loses lines, which are counted, and never waits.
public final class AuditLog {
    private enum Sink {
        case journal(Int32)
        case stream(Int32)
    }

    private let settings: Settings.Audit
    private var sink: Sink
    private var gathered: [UInt8] = []
    /// Events that the destination did not take.
    public private(set) var lost = 0

    private static let journalSocket = "/run/systemd/journal/socket"
    /// Lines are written at the latest when so many bytes have gathered.
    private static let gatheredBytesMax = 64 << 10

    public init(_ settings: Settings.Audit) throws(AuditLogError) {
        self.settings = settings
        sink = try Self.open(settings)
    }

    deinit { closeSink() }

    /// Opens the file anew, as log rotation asks for; where that fails the old one stays in use.
    public func reopen() throws(AuditLogError) {
        let fresh = try Self.open(settings)
        flush()
        closeSink()
        sink = fresh
    }

    private func closeSink() {
        switch sink {
        case .journal(let descriptor): close(descriptor)
        case .stream(let descriptor): if descriptor != STDERR_FILENO { close(descriptor) }
        }
    }

    private static func open(_ settings: Settings.Audit) throws(AuditLogError) -> Sink {
        switch (settings.destination, settings.file) {
        case (.file, let path?):
            let flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW
            let descriptor = Glibc.open(path, flags, 0o640)
            guard descriptor >= 0 else { throw AuditLogError(destination: path, code: errno) }
            return .stream(descriptor)
        case (.journal, _):
            let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
            guard descriptor >= 0 else { throw AuditLogError(destination: "journal", code: errno) }
            // Without systemd there is no journal: stderr is where a supervisor looks.
            guard connect(descriptor, toUnixSocket: journalSocket) else {
                close(descriptor)
                return .stream(STDERR_FILENO)
            }
            return .journal(descriptor)
        case (.stderr, _), (.file, nil): return .stream(STDERR_FILENO)
        }
    }

    private static func connect(_ descriptor: Int32, toUnixSocket path: String) -> Bool {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
            }
        }
    }

    public func write(_ event: AuditEvent, at time: Timestamp) {
        let fields = AuditField.fields(of: event, at: time)
        switch sink {
        case .stream:
            gathered += AuditLine(fields).bytes
            if gathered.count >= Self.gatheredBytesMax { flush() }
        case .journal(let descriptor):
            let entry = JournalEntry(event, fields).bytes
            if send(descriptor, entry, entry.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)) < 0 {
                lost += 1
            }
        }
    }

    /// Writes the lines that have gathered.
    public func flush() {
        guard case .stream(let descriptor) = sink, !gathered.isEmpty else { return }
        defer { gathered.removeAll(keepingCapacity: true) }
        gathered.withUnsafeBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else {
                    lost += rest.count { $0 == UInt8(ascii: "\n") }
                    return
                }
                rest = rest.dropFirst(count)
            }
        }
    }
}
