import AuditTrail
import Clock
import Glibc
import System

/// A destination that can't be opened or written; `code` is an errno.
public struct AuditLogError: Error, Hashable, Sendable, CustomStringConvertible {
    public var destination: String
    public var code: Int32

    public var description: String { "can't write the audit log to \(destination): \(Errno(code))" }
}

/// Writes audit events to the journal, to stderr, or to a file, on a thread of its own: the caller never waits.
///
/// If a destination blocks for long, events are lost, newest first; a `suppressed` event in their place has their
/// count.
public final class AuditLog {
    /// The longest time that a blocked destination delays closing.
    public static let closingTime: Duration = .seconds(2)

    private let writer: AuditWriter
    private let name: String

    public convenience init(_ destination: AuditDestination) throws(AuditLogError) {
        try self.init(destination, queueBytesMax: AuditQueue.bytesMax)
    }

    init(_ destination: AuditDestination, queueBytesMax: Int) throws(AuditLogError) {
        name = destination.name
        writer = try AuditWriter(destination.format, queueBytesMax: queueBytesMax)
        try AuditThread.start(writer, destination)
    }

    deinit { close() }

    /// Events missing from the log: there was no room for them, or no time left to write them.
    public var lost: Int { writer.missed + (isClosed ? writer.unwritten : 0) }

    private var isClosed = false

    public func write(_ event: AuditEvent, at time: Timestamp) { writer.write(event, at: time) }

    /// Opens the file again, as log rotation requires; if that fails, the old file stays in use.
    public func reopen() { writer.reopen() }

    /// Writes the waiting events, for `limit` at the most. Idempotent.
    public func close(within limit: Duration = closingTime) {
        guard !isClosed else { return }
        isClosed = true
        writer.close(within: limit)
        guard writer.unwritten > 0 else { return }
        StandardError.write(
            "rpcwarden: the last \(writer.unwritten) lines of the audit log were not written to \(name)")
    }
}
