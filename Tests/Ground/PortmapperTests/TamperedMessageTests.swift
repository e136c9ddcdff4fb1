import ONCRPC
import TestSupport
import Testing

extension SeededGenerator {
    private static let words: [UInt32] = [
        0, 1, 2, 3, 4, 5, 255, 256, 257, 400, 401, 100_000, 0x7fff_ffff, 0x8000_0000, 0xffff_fffc, UInt32.max,
    ]

    /// Overwrites, drops, duplicates and inserts whole words, as a peer that knows XDR would.
    fileprivate mutating func tamper(with bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...4, using: &self) {
            let place = Int.random(in: 0...bytes.count / 4, using: &self) * 4
            let word = xdr(Self.words.randomElement(using: &self) ?? 0)
            let end = min(place + 4, bytes.count)
            switch Int.random(in: 0..<4, using: &self) {
            case 0: bytes.replaceSubrange(place..<end, with: word)
            case 1: bytes.removeSubrange(place..<end)
            case 2: bytes.insert(contentsOf: bytes[place..<end], at: place)
            default: bytes.insert(contentsOf: word, at: place)
            }
        }
        return bytes
    }
}

@Suite("tampered messages") struct TamperedMessageTests {
    @Test("no tampered call traps, and what still decodes encodes and decodes to itself", arguments: CallGolden.all)
    func calls(golden sample: CallGolden) throws {
        let bytes = try golden(sample.name)
        for seed in 0..<500 as Range<UInt64> {
            var random = SeededGenerator(state: seed)
            guard let (header, call) = try? decodedCall(random.tamper(with: bytes)) else { continue }
            #expect(try decodedCall(call.encoded(xid: header.xid)).call == call)
        }
    }

    @Test("no tampered reply traps, and what still decodes is within its limits", arguments: ReplyGolden.all)
    func replies(golden sample: ReplyGolden) throws {
        let bytes = try golden(sample.name)
        for seed in 0..<300 as Range<UInt64> {
            var random = SeededGenerator(state: seed)
            guard let reply = try? decodedReply(random.tamper(with: bytes)) else { continue }
            #expect(try decodedReply(reply.encoded) == reply)
            guard case .success(let results) = reply.body else { continue }
            guard let result = try? decodedResult(results, of: sample.call) else { continue }
            #expect(result.encoded.count <= results.count)
        }
    }
}
