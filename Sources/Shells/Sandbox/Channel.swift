import Glibc
import System

/// One end of two streams between two processes: messages, each preceded by its length. Belongs to one thread at a
/// time.
///
/// Pipes are used because reading from a socket also wakes its writer, which sleeps until there is a reply.
public struct Channel: Sendable {
    /// Why the channel can't be used any more.
    public enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
        /// The other process is gone.
        case ended
        case silent(Duration)
        case tooLong(bytes: Int)
        case failed(errno: Int32)

        public var description: String {
            switch self {
            case .ended: "the other process has ended"
            case .silent(let limit): "no answer within \(limit)"
            case .tooLong(let bytes): "a message of \(bytes) bytes is too long"
            case .failed(let number): "the channel failed: \(Errno(number))"
            }
        }
    }

    let input: Int32
    let output: Int32
    private let messageBytesMax: Int
    /// Time limit for a message that the other side owes; `nil`: none.
    public let waitMax: Duration?

    /// - Parameter waitMax: time limit for a message that the other side owes; `nil`: none.
    init(input: Int32, output: Int32, messageBytesMax: Int, waitMax: Duration?) {
        self.input = input
        self.output = output
        self.messageBytesMax = messageBytesMax
        self.waitMax = waitMax
        signal(SIGPIPE, SIG_IGN)
        // With these flags poll() waits, which has a limit.
        if waitMax != nil { for end in [input, output] { _ = fcntl(end, F_SETFL, O_NONBLOCK) } }
    }

    /// Both ends; the second one waits without limit.
    public static func pair(
        messageBytesMax: Int, waitMax: Duration
    ) throws(SandboxError) -> (first: Channel, second: Channel) {
        do throws(Errno) {
            let (there, back) = (try Pipe(), try Pipe())
            return (
                Channel(
                    input: back.readEnd, output: there.writeEnd, messageBytesMax: messageBytesMax, waitMax: waitMax),
                Channel(input: there.readEnd, output: back.writeEnd, messageBytesMax: messageBytesMax, waitMax: nil)
            )
        } catch {
            throw SandboxError(doing: "making a channel", errno: error.code)
        }
    }

    public func close() { for end in [input, output] { _ = Glibc.close(end) } }

    public func send(_ message: [UInt8]) throws(Failure) {
        guard message.count <= messageBytesMax else { throw .tooLong(bytes: message.count) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.headerBytes + min(message.count, Self.chunkBytes))
        withUnsafeBytes(of: UInt32(message.count).bigEndian) { bytes += $0 }
        guard message.count <= Self.chunkBytes else {
            try hand(over: bytes)
            return try hand(over: message)
        }
        // Header and message in one system call, for nearly every message.
        bytes += message
        try hand(over: bytes)
    }

    private func hand(over bytes: [UInt8]) throws(Failure) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { write(output, $0.baseAddress?.advanced(by: sent), $0.count - sent) }
            if count >= 0 { sent += count } else { try retry(errno, output, POLLOUT) }
        }
    }

    /// The next message.
    public func receive() throws(Failure) -> [UInt8] {
        if waitMax != nil { try wait(input, POLLIN) }
        let header = try read(Self.headerBytes)
        let count = Int(header.reduce(UInt32(0)) { $0 << 8 | UInt32($1) })
        guard count <= messageBytesMax else { throw .tooLong(bytes: count) }
        return try read(count)
    }

    /// Whether ``receive()`` returns at once, with a message or with the channel's end.
    public var isReadable: Bool {
        var entry = pollfd(fd: input, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, 0) > 0
    }

    private static let headerBytes = 4
    /// Memory is allocated as bytes arrive, so a false length costs no more than this.
    private static let chunkBytes = 1 << 18

    private func read(_ wanted: Int) throws(Failure) -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < wanted {
            let room = min(wanted - bytes.count, Self.chunkBytes)
            let start = bytes.count
            bytes.append(contentsOf: repeatElement(0, count: room))
            let count = bytes.withUnsafeMutableBytes { Glibc.read(input, $0.baseAddress?.advanced(by: start), room) }
            let number = errno
            bytes.removeLast(room - max(count, 0))
            if count == 0 { throw .ended }
            if count < 0 { try retry(number, input, POLLIN) }
        }
        return bytes
    }

    private func retry(_ number: Int32, _ descriptor: Int32, _ event: Int32) throws(Failure) {
        switch number {
        case EINTR: return
        case EPIPE: throw .ended
        case EAGAIN: try wait(descriptor, event)
        default: throw .failed(errno: number)
        }
    }

    /// Waits until the descriptor can be read or written, or the other side has closed it.
    private func wait(_ descriptor: Int32, _ event: Int32) throws(Failure) {
        var entry = pollfd(fd: descriptor, events: Int16(event), revents: 0)
        let limit = waitMax.map { Int32(clamping: $0.components.seconds * 1000) } ?? -1
        switch poll(&entry, 1, limit) {
        case 0: throw .silent(waitMax ?? .zero)
        case -1 where errno != EINTR: throw .failed(errno: errno)
        default: return
        }
    }
}
