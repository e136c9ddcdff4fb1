import Glibc
import System

/// Wakes a thread that waits in poll(), with a byte in a pipe.
final class WakeupPipe: Sendable {
    let descriptor: Int32
    private let writeEnd: Int32

    init() throws(AuditLogError) {
        do throws(Errno) {
            let pipe = try Pipe(waits: false)
            (descriptor, writeEnd) = (pipe.readEnd, pipe.writeEnd)
        } catch {
            throw AuditLogError(destination: "a pipe", code: error.code)
        }
    }

    deinit {
        close(descriptor)
        close(writeEnd)
    }

    /// Rings; if the pipe is full, it rings already.
    func ring() {
        var byte: UInt8 = 0
        _ = write(writeEnd, &byte, 1)
    }

    func silence() {
        var bytes = [UInt8](repeating: 0, count: 64)
        while read(descriptor, &bytes, bytes.count) == bytes.count {}
    }

    /// Waits until the pipe rings, or until `other` is writable.
    func wait(or other: Int32 = -1, within limit: Duration?) {
        // poll ignores descriptors below zero.
        var polled = [
            pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: other, events: Int16(POLLOUT), revents: 0),
        ]
        _ = poll(&polled, 2, limit.map(Self.milliseconds) ?? -1)
    }

    /// Rounded up, so that a wait doesn't end just before its deadline.
    private static func milliseconds(_ duration: Duration) -> Int32 {
        let (seconds, attoseconds) = duration.components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        return Int32(
            clamping: seconds.multipliedReportingOverflow(by: 1000).partialValue + attoseconds / 1_000_000_000_000_000
                + 1)
    }
}
