import Glibc
import Testing

@testable import Sandbox

@Suite("a channel between two processes") struct ChannelTests {
    private static func pair(_ messageBytesMax: Int = 1 << 20) throws -> (first: Channel, second: Channel) {
        try Channel.pair(messageBytesMax: messageBytesMax, waitMax: .seconds(1))
    }

    @Test("hands over messages whole and in order, also empty and large ones")
    func messages() throws {
        let (first, second) = try Self.pair()
        let messages: [[UInt8]] = [[], [1], Array(repeating: 7, count: 1 << 20), [2, 3]]
        // More than a pipe's capacity: another thread must read meanwhile.
        let writer = Sending.start(first, messages)
        for message in messages { #expect(try second.receive() == message) }
        pthread_join(writer, nil)
        first.close()
        second.close()
    }

    private final class Sending {
        private let channel: Channel
        private let messages: [[UInt8]]

        private init(_ channel: Channel, _ messages: [[UInt8]]) {
            (self.channel, self.messages) = (channel, messages)
        }

        private func run() {
            for message in messages { try? channel.send(message) }
        }

        static func start(_ channel: Channel, _ messages: [[UInt8]]) -> pthread_t {
            var thread = pthread_t()
            let this = Unmanaged.passRetained(Sending(channel, messages)).toOpaque()
            pthread_create(
                &thread, nil,
                {
                    if let this = $0 { Unmanaged<Sending>.fromOpaque(this).takeRetainedValue().run() }
                    return nil
                }, this)
            return thread
        }
    }

    @Test("refuses a length beyond its limit before it reads on, in both directions")
    func tooLong() throws {
        let (first, second) = try Self.pair(16)
        #expect(throws: Channel.Failure.tooLong(bytes: 17)) { try first.send(Array(repeating: 0, count: 17)) }
        let claim: [UInt8] = [0xff, 0xff, 0xff, 0xff]
        #expect(write(first.output, claim, 4) == 4)
        #expect(throws: Channel.Failure.tooLong(bytes: 0xffff_ffff)) { try second.receive() }
        first.close()
        second.close()
    }

    @Test("tells the other side's end, also in the middle of a message, and never by a signal")
    func end() throws {
        for bytes in [[], [0, 0], [0, 0, 0, 4], [0, 0, 0, 4, 1, 2]] as [[UInt8]] {
            let (first, second) = try Self.pair()
            #expect(write(first.output, bytes, bytes.count) == bytes.count)
            first.close()
            #expect(throws: Channel.Failure.ended) { try second.receive() }
            second.close()
        }
        let (first, second) = try Self.pair()
        second.close()
        #expect(throws: Channel.Failure.ended) { try first.send([1]) }
        first.close()
    }

    @Test("waits for an answer no longer than it was told to")
    func silence() throws {
        let (first, second) = try Self.pair()
        #expect(throws: Channel.Failure.silent(.seconds(1))) { try first.receive() }
        first.close()
        second.close()
    }

    @Test("waits for room no longer than it was told to")
    func fullness() throws {
        let (first, second) = try Self.pair()
        #expect(throws: Channel.Failure.silent(.seconds(1))) { try first.send(Array(repeating: 7, count: 1 << 20)) }
        first.close()
        second.close()
    }
}
