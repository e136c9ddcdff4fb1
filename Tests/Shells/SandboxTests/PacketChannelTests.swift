import Glibc
import Testing

@testable import Sandbox

@Suite("a channel that carries descriptors") struct PacketChannelTests {
    private static func pair() throws -> (first: PacketChannel, second: PacketChannel) {
        try PacketChannel.pair(messageBytesMax: 64)
    }

    @Test("hands over messages whole and in order, each with its descriptor or none")
    func messages() throws {
        let (first, second) = try Self.pair()
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        try first.send([1], mayWait: true)
        try first.send(Array(repeating: 7, count: 64), with: ends[1], mayWait: false)
        try first.send([2, 3], mayWait: true)
        close(ends[1])
        let plain = try second.receive()
        #expect(plain.bytes == [1] && plain.descriptor == nil)
        let carrying = try second.receive()
        #expect(carrying.bytes == Array(repeating: 7, count: 64))
        let passed = try #require(carrying.descriptor)
        #expect(fcntl(passed, F_GETFD) == FD_CLOEXEC)
        #expect(write(passed, "x", 1) == 1)
        close(passed)
        var bytes = [UInt8](repeating: 0, count: 2)
        #expect(read(ends[0], &bytes, 2) == 1 && bytes[0] == UInt8(ascii: "x"))
        #expect(read(ends[0], &bytes, 2) == 0, "nobody else holds the other end")
        #expect(try second.receive().bytes == [2, 3])
        close(ends[0])
        first.close()
        second.close()
    }

    @Test("refuses what is longer than its limit at either end, and keeps no descriptor that came with it")
    func tooLong() throws {
        let (first, second) = try Self.pair()
        #expect(throws: Channel.Failure.tooLong(bytes: 65)) {
            try first.send(Array(repeating: 0, count: 65), mayWait: true)
        }
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        let wide = PacketChannel(descriptor: first.descriptor, messageBytesMax: 128)
        try wide.send(Array(repeating: 0, count: 65), with: ends[1], mayWait: true)
        close(ends[1])
        #expect(throws: Channel.Failure.tooLong(bytes: 65)) { try second.receive() }
        var byte: UInt8 = 0
        #expect(read(ends[0], &byte, 1) == 0, "nobody holds the other end")
        close(ends[0])
        first.close()
        second.close()
    }

    @Test("keeps none of two descriptors that came together beyond the one that it tells of, nor of an empty message")
    func surplus() throws {
        let (first, second) = try Self.pair()
        for (bytes, count) in [([1] as [UInt8], 1), ([], 2)] {
            var (ends, others): ([Int32], [Int32]) = ([-1, -1], [-1, -1])
            try #require(pipe(&ends) == 0 && pipe(&others) == 0)
            try Self.send(bytes, [ends[1], others[1]], to: first.descriptor)
            close(ends[1])
            close(others[1])
            if count == 1 {
                let packet = try second.receive()
                close(try #require(packet.descriptor))
            } else {
                #expect(throws: Channel.Failure.ended) { try second.receive() }
            }
            var byte: UInt8 = 0
            for end in [ends[0], others[0]] {
                #expect(read(end, &byte, 1) == 0, "nobody holds the other end")
                close(end)
            }
        }
        first.close()
        second.close()
    }

    /// Sends a message that rpcwarden's own code never sends.
    private static func send(_ bytes: [UInt8], _ descriptors: [Int32], to end: Int32) throws {
        var bytes = bytes + [0]
        var control = [UInt64](repeating: 0, count: 3)
        control.withUnsafeMutableBytes { raw in
            raw.storeBytes(of: UInt64(16 + 4 * descriptors.count), as: UInt64.self)
            raw.storeBytes(of: SOL_SOCKET, toByteOffset: 8, as: Int32.self)
            raw.storeBytes(of: 1 /* SCM_RIGHTS */, toByteOffset: 12, as: Int32.self)
            for (index, descriptor) in descriptors.enumerated() {
                raw.storeBytes(of: descriptor, toByteOffset: 16 + 4 * index, as: Int32.self)
            }
        }
        let count = bytes.count - 1
        let sent = bytes.withUnsafeMutableBytes { data in
            control.withUnsafeMutableBytes { ancillary in
                var part = iovec(iov_base: data.baseAddress, iov_len: count)
                return withUnsafeMutablePointer(to: &part) { part in
                    var message = msghdr()
                    message.msg_iov = part
                    message.msg_iovlen = 1
                    message.msg_control = ancillary.baseAddress
                    message.msg_controllen = 16 + 4 * descriptors.count
                    return sendmsg(end, &message, 0)
                }
            }
        }
        try #require(sent == count)
    }

    @Test("hands over what the other side said before it ended, though that hadn't read all")
    func lastWords() throws {
        let (first, second) = try Self.pair()
        try first.send([1], mayWait: true)
        try second.send([2], mayWait: true)
        second.close()
        #expect(try first.receive().bytes == [2])
        #expect(throws: Channel.Failure.ended) { try first.receive() }
        first.close()
    }

    @Test("tells the other side's end, and a full channel, and never by a signal")
    func end() throws {
        let (first, second) = try Self.pair()
        var failure: Channel.Failure?
        for _ in 0..<100_000 where failure == nil {
            do { try first.send([1], mayWait: false) } catch { failure = error }
        }
        #expect(failure == .failed(errno: EAGAIN))
        // Shut down rather than closed: a child forked by another test may hold the descriptor for a moment.
        second.shutDown()
        #expect(throws: Channel.Failure.ended) { try first.send([1], mayWait: false) }
        first.close()
        second.close()
        let (third, fourth) = try Self.pair()
        third.shutDown()
        #expect(throws: Channel.Failure.ended) { try fourth.receive() }
        #expect(throws: Channel.Failure.ended) { try third.receive() }
        third.close()
        fourth.close()
    }
}
