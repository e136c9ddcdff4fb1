import CSandbox
import Glibc

/// One end of a stream between two processes: messages, each behind its length; belongs to one thread at a time.
public struct Channel: Sendable {
    /// Why nothing more can be said.
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
            case .failed(let number): "the channel failed: \(errorText(number))"
            }
        }
    }

    let descriptor: Int32
    private let messageBytesMax: Int
    private let waitMax: Duration?

    /// - Parameter waitMax: for a message that the other side owes; `nil`: for ever.
    init(_ descriptor: Int32, messageBytesMax: Int, waitMax: Duration?) {
        self.descriptor = descriptor
        self.messageBytesMax = messageBytesMax
        self.waitMax = waitMax
        guard let waitMax else { return }
        var limit = timeval(tv_sec: Int(waitMax.components.seconds), tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
    }

    /// The two ends; the second one waits for ever.
    public static func pair(
        messageBytesMax: Int, waitMax: Duration
    ) throws(SandboxError) -> (first: Channel, second: Channel) {
        var ends: [Int32] = [-1, -1]
        try check(csb_socket_pair(&ends), "making a channel")
        return (
            Channel(ends[0], messageBytesMax: messageBytesMax, waitMax: waitMax),
            Channel(ends[1], messageBytesMax: messageBytesMax, waitMax: nil)
        )
    }

    public func close() { _ = Glibc.close(descriptor) }

    public func send(_ message: [UInt8]) throws(Failure) {
        guard message.count <= messageBytesMax else { throw .tooLong(bytes: message.count) }
        var bytes = withUnsafeBytes(of: UInt32(message.count).bigEndian) { Array($0) }
        guard message.count <= Self.chunkBytes else {
            try write(bytes)
            return try write(message)
        }
        // One system call for nearly every message.
        bytes.reserveCapacity(message.count + bytes.count)
        bytes += message
        try write(bytes)
    }

    private func write(_ bytes: [UInt8]) throws(Failure) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress?.advanced(by: sent), $0.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count >= 0 { sent += count } else { try retry(errno) }
        }
    }

    /// The next message.
    public func receive() throws(Failure) -> [UInt8] {
        let header = try read(Self.headerBytes)
        let count = Int(header.reduce(UInt32(0)) { $0 << 8 | UInt32($1) })
        guard count <= messageBytesMax else { throw .tooLong(bytes: count) }
        return try read(count)
    }

    /// Whether ``receive()`` finds something at once, be it the end.
    public var isReadable: Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, 0) > 0
    }

    private static let headerBytes = 4
    /// Memory is taken as bytes come, so no length that is only claimed costs more than this.
    private static let chunkBytes = 1 << 18

    private func read(_ wanted: Int) throws(Failure) -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < wanted {
            let room = min(wanted - bytes.count, Self.chunkBytes)
            let start = bytes.count
            bytes.append(contentsOf: repeatElement(0, count: room))
            let count = bytes.withUnsafeMutableBytes {
                recv(descriptor, $0.baseAddress?.advanced(by: start), room, Int32(MSG_WAITALL))
            }
            let number = errno
            bytes.removeLast(room - max(count, 0))
            if count == 0 { throw .ended }
            if count < 0 { try retry(number) }
        }
        return bytes
    }

    private func retry(_ number: Int32) throws(Failure) {
        switch number {
        case EINTR: return
        case EPIPE, ECONNRESET: throw .ended
        case EAGAIN: throw .silent(waitMax ?? .zero)
        default: throw .failed(errno: number)
        }
    }
}
