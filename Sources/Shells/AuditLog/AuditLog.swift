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

/// Writes audit events to the journal, to stderr, or to a file, by a thread of its own: who logs never waits.
///
/// A destination that takes nothing for long loses events, newest first; a `suppressed` event in their place tells how
/// many.
public final class AuditLog {
    /// What a stuck destination may cost at the end.
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

    /// Events that are not in the log: they found no room, or there was no time left to write them.
    public var lost: Int { writer.missed + (isClosed ? writer.unwritten : 0) }

    private var isClosed = false

    public func write(_ event: AuditEvent, at time: Timestamp) { writer.write(event, at: time) }

    /// Has the file opened anew, as log rotation asks for; where that fails the old one stays in use.
    public func reopen() { writer.reopen() }

    /// Writes what waits, for so long at the most. Idempotent.
    public func close(within limit: Duration = closingTime) {
        guard !isClosed else { return }
        isClosed = true
        writer.close(within: limit)
        guard writer.unwritten > 0 else { return }
        StandardError.write(
            "rpcwarden: the last \(writer.unwritten) lines of the audit log were not written to \(name)")
    }
}
