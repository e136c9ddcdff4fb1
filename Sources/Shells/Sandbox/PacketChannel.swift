import CSandbox
import Glibc

/// One end of a stream of whole messages between two processes, each with at most one descriptor. Any thread may
/// use it.
public struct PacketChannel: Sendable {
    public struct Packet: Sendable {
        public var bytes: [UInt8]
        /// The receiver must close it.
        public var descriptor: Int32?
    }

    let descriptor: Int32
    private let messageBytesMax: Int

    init(descriptor: Int32, messageBytesMax: Int) {
        self.descriptor = descriptor
        self.messageBytesMax = messageBytesMax
    }

    public static func pair(messageBytesMax: Int) throws(SandboxError) -> (first: Self, second: Self) {
        var ends: [Int32] = [-1, -1]
        try check(csb_packet_sockets(&ends), "making a channel")
        return (
            PacketChannel(descriptor: ends[0], messageBytesMax: messageBytesMax),
            PacketChannel(descriptor: ends[1], messageBytesMax: messageBytesMax)
        )
    }

    /// - Parameters:
    ///   - descriptor: a copy goes to the other process; it stays open here.
    ///   - mayWait: whether to wait for room. Otherwise a full channel is a failure, with EAGAIN.
    public func send(_ bytes: [UInt8], with descriptor: Int32? = nil, mayWait: Bool) throws(Channel.Failure) {
        guard bytes.count <= messageBytesMax else { throw .tooLong(bytes: bytes.count) }
        let number = csb_send_packet(self.descriptor, bytes, bytes.count, descriptor ?? -1, mayWait ? 1 : 0)
        guard number == 0 else { throw Self.failure(number) }
    }

    /// Waits for the next message.
    public func receive() throws(Channel.Failure) -> Packet {
        var passed: Int32 = -1
        var bytes = [UInt8](repeating: 0, count: messageBytesMax)
        let count = csb_receive_packet(descriptor, &bytes, bytes.count, &passed)
        guard count > 0, count <= messageBytesMax else {
            if passed >= 0 { Glibc.close(passed) }
            // No message is empty, so 0 bytes mean the end.
            throw count == 0 ? .ended : count < 0 ? Self.failure(Int32(-count)) : .tooLong(bytes: count)
        }
        bytes.removeLast(bytes.count - count)
        return Packet(bytes: bytes, descriptor: passed >= 0 ? passed : nil)
    }

    /// ECONNRESET: the other side has ended with messages unread.
    private static func failure(_ number: Int32) -> Channel.Failure {
        number == EPIPE || number == ECONNRESET ? .ended : .failed(errno: number)
    }

    /// Readers and writers at both ends find the channel ended; the descriptor stays open, since another thread
    /// may use it.
    public func shutDown() { Glibc.shutdown(descriptor, Int32(SHUT_RDWR)) }

    public func close() { Glibc.close(descriptor) }
}
