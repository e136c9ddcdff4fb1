import Addresses
import ONCRPC
import Testing

@testable import Privilege

@Suite("a message to or from the connector") struct ConnectorMessageTests {
    private static let seeds = UInt64(1)...200

    private static func call(_ dice: inout Dice) -> ConnectorCall {
        let number = UInt32(truncatingIfNeeded: dice.next())
        return switch dice.number(0...3) {
        case 0: .begin(rpcbindPath: "/run/\(dice.text(20))")
        case 1: .connect(number)
        case 2: .resolve(number, name: "host\(number).example")
        default: .lifetime(number, name: "host\(number).example")
        }
    }

    private static func reply(_ dice: inout Dice) -> ConnectorReply {
        let number = UInt32(truncatingIfNeeded: dice.next())
        return switch dice.number(0...5) {
        case 0: .ready
        case 1: .failed(dice.text(100))
        case 2: .connected(number, errno: Int32(dice.number(0...140)))
        case 3:
            .resolved(
                number,
                HostAddresses(
                    dice.list(64) { $0.address() }, unknown: [.ipv4, .ipv6, nil][dice.number(0...2)],
                    isCut: dice.number(0...1) == 1))
        case 4: .unresolved(number, code: Int32(dice.number(-200...0)))
        default: .lifetime(number, dice.duration())
        }
    }

    private static func decodedCall(_ bytes: some Collection<UInt8>) throws -> ConnectorCall {
        try Array(bytes).withUnsafeBytes { try ConnectorCall(decoding: $0) }
    }

    private static func decodedReply(_ bytes: some Collection<UInt8>) throws -> ConnectorReply {
        try Array(bytes).withUnsafeBytes { try ConnectorReply(decoding: $0) }
    }

    @Test("is decoded as it was encoded, fits, and is refused cut off or with something behind it", arguments: seeds)
    func roundTrip(seed: UInt64) throws {
        var dice = Dice(state: seed)
        let (call, reply) = (Self.call(&dice), Self.reply(&dice))
        #expect(try Self.decodedCall(call.encoded) == call)
        #expect(try Self.decodedReply(reply.encoded) == reply)
        #expect(call.encoded.count <= ConnectorCall.messageBytesMax)
        #expect(reply.encoded.count <= ConnectorCall.messageBytesMax)
        for length in 0..<call.encoded.count {
            #expect(throws: XDRError.self) { try Self.decodedCall(call.encoded.prefix(length)) }
        }
        for length in 0..<reply.encoded.count {
            #expect(throws: XDRError.self) { try Self.decodedReply(reply.encoded.prefix(length)) }
        }
        #expect(throws: XDRError.trailing(4)) { try Self.decodedCall(call.encoded + [0, 0, 0, 0]) }
        #expect(throws: XDRError.trailing(4)) { try Self.decodedReply(reply.encoded + [0, 0, 0, 0]) }
    }

    @Test("with any bytes changed is refused, or means something that can be said again", arguments: seeds)
    func hostileBytes(seed: UInt64) throws {
        var dice = Dice(state: seed)
        var (bytes, other) = (Self.call(&dice).encoded, Self.reply(&dice).encoded)
        for _ in 0..<50 {
            bytes[dice.number(0...bytes.count - 1)] = UInt8(dice.number(0...255))
            if let call = try? Self.decodedCall(bytes) { #expect(try Self.decodedCall(call.encoded) == call) }
            other[dice.number(0...other.count - 1)] = UInt8(dice.number(0...255))
            if let reply = try? Self.decodedReply(other) { #expect(try Self.decodedReply(reply.encoded) == reply) }
        }
    }

    @Test("names no more than a name has, and no more addresses than one has")
    func limits() throws {
        let name = String(repeating: "x", count: 256)
        #expect(throws: XDRError.tooLong(length: 256, limit: 255)) {
            try Self.decodedCall(ConnectorCall.resolve(1, name: name).encoded)
        }
        let many = (0..<100).map { IPAddress.v4(UInt32($0)) }
        let cut = HostAddresses(many.prefix(64), isCut: true)
        #expect(try Self.decodedReply(ConnectorReply.resolved(1, HostAddresses(many)).encoded) == .resolved(1, cut))
        let head: [UInt8] = [0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
        #expect(throws: XDRError.tooLong(length: 65, limit: 64)) {
            try Self.decodedReply(head + [0, 0, 0, 65] + [UInt8](repeating: 0, count: 2000))
        }
    }

    @Test("leaves no family unknown but IPv4 or IPv6")
    func families() {
        #expect(throws: XDRError.invalid(5)) {
            try Self.decodedReply([0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0])
        }
    }
}
