import ONCRPC
import Portmapper
import Testing

@testable import Probes

@Suite("what a message tells as a reply") struct ReplyStatusTests {
    static func status(_ bytes: [UInt8], to xid: UInt32 = 7) -> ReplyStatus {
        bytes.withUnsafeBytes { ReplyStatus(of: $0, to: xid) }
    }

    static func words(_ words: UInt32...) -> [UInt8] {
        words.flatMap { word in withUnsafeBytes(of: word.bigEndian, Array.init) }
    }

    private static let accepted: [(Reply.Body, ReplyStatus)] = [
        (.success([1, 2, 3, 4]), .success(results: [1, 2, 3, 4])),
        (.programUnavailable, .unsuccessful(.programUnavailable)),
        (.programMismatch(low: 2, high: 4), .mismatch(2...4)),
        (.procedureUnavailable, .unsuccessful(.procedureUnavailable)),
        (.garbageArguments, .unsuccessful(.garbageArguments)),
        (.systemError, .unsuccessful(.systemError)),
        (.rpcMismatch(low: 2, high: 2), .denied(nil)),
        (.authError(.failed), .denied(7)),
    ]

    @Test("each reply of RFC 5531", arguments: accepted)
    func replies(body: Reply.Body, status: ReplyStatus) {
        #expect(Self.status(Reply(xid: 7, body: body).encoded) == status)
        #expect(Self.status(Reply(xid: 8, body: body).encoded) == .foreign)
    }

    private static let odd: [([UInt8], ReplyStatus)] = [
        ([], .foreign),
        ([0, 0, 7], .foreign),
        (words(7), .broken),
        // A call, and a reply of no status.
        (words(7, 0, 2, 100_000, 2, 0), .broken),
        (words(7, 1, 2), .broken),
        (words(7, 1, 0, 0, 0, 6), .broken),
        // A verifier that is longer than the message, or than RFC 5531 permits.
        (words(7, 1, 0, 0, 8, 0), .broken),
        (words(7, 1, 0, 0, 404) + Array(repeating: 0, count: 408), .broken),
        // RPCSEC_GSS_CREDPROBLEM, and a denial without its reason.
        (words(7, 1, 1, 1, 13), .denied(13)),
        (words(7, 1, 1), .denied(nil)),
        // Versions that are missing, or in the wrong order; bytes behind them.
        (words(7, 1, 0, 0, 0, 2), .mismatch(nil)),
        (words(7, 1, 0, 0, 0, 2, 4, 2), .mismatch(nil)),
        (words(7, 1, 0, 0, 0, 2, 3, 4, 9), .mismatch(3...4)),
    ]

    @Test("replies of services that aren't well made", arguments: odd)
    func oddReplies(bytes: [UInt8], status: ReplyStatus) {
        #expect(Self.status(bytes) == status)
    }

    @Test("any bytes are read without harm")
    func anyBytes() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            let bytes = (0..<Int.random(in: 0...64, using: &generator)).map { _ in
                UInt8.random(in: 0...3, using: &generator)
            }
            _ = Self.status(bytes, to: bytes.count >= 4 ? UInt32(bytes[3]) : 0)
        }
    }
}
