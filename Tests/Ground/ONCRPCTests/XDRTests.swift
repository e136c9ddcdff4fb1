import ONCRPC
import Testing

@Suite("XDR") struct XDRTests {
    @Test("refuses a word that is cut short", arguments: 0..<4)
    func truncatedWord(count: Int) {
        #expect(throws: XDRError.truncated) {
            try decode(Array([1, 2, 3].prefix(count))) { decoder in try decoder.uint32() }
        }
    }

    @Test("a failed read takes nothing")
    func failureTakesNothing() throws {
        try decode(xdr(7) + [1, 2]) { decoder throws in
            #expect(try decoder.uint32() == 7)
            #expect(throws: XDRError.truncated) { try decoder.uint32() }
            #expect(decoder.remaining == 2)
        }
    }

    @Test("a Boolean is 0 or 1", arguments: [2, 256, 0x0100_0000, UInt32.max])
    func invalidBool(word: UInt32) {
        #expect(throws: XDRError.invalid(word)) {
            try decode(xdr(word)) { decoder in try decoder.bool() }
        }
    }

    @Test("refuses opaque data longer than its limit, whatever follows", arguments: [5, 400, 0x7fff_ffff, UInt32.max])
    func opaqueOverLimit(length: UInt32) {
        #expect(throws: XDRError.tooLong(length: length, limit: 4)) {
            try decode(xdr(length, 0, 0)) { decoder in try decoder.opaque(max: 4).count }
        }
    }

    @Test("refuses opaque data longer than what is left, near 4 GiB too", arguments: [5, 8, 0xffff_fffc, UInt32.max])
    func opaqueBeyondEnd(length: UInt32) {
        #expect(throws: XDRError.truncated) {
            try decode(xdr(length, 0)) { decoder in try decoder.opaque(max: Int.max).count }
        }
    }

    @Test("refuses opaque data whose padding is missing", arguments: 1...3)
    func paddingMissing(count: Int) {
        let bytes = opaque(count: count).dropLast()
        #expect(throws: XDRError.truncated) {
            try decode(Array(bytes)) { decoder in try decoder.opaque(max: 4).count }
        }
    }

    @Test("opaque data and its padding are read back", arguments: 0...9)
    func opaqueRoundTrip(count: Int) throws {
        let data = (0..<count).map { UInt8($0) }
        let bytes = opaque(data)
        #expect(bytes.count == 4 + (count + 3) / 4 * 4)
        let read = try decode(bytes) { decoder in
            let read = Array(try decoder.opaque(max: count))
            try decoder.finish()
            return read
        }
        #expect(read == data)
    }

    @Test("a string is printable ASCII", arguments: [0x00, 0x0a, 0x1b, 0x1f, 0x7f, 0x80, 0xc3, 0xff] as [UInt8])
    func textRefuses(byte: UInt8) {
        #expect(throws: XDRError.notText) {
            try decode(opaque([0x61, byte])) { decoder in try decoder.text(max: 16) }
        }
    }

    @Test("the whole of printable ASCII is text")
    func textTakes() throws {
        let printable = Array(UInt8(0x20)...0x7e)
        let text = try decode(opaque(printable)) { decoder in try decoder.text(max: 95) }
        #expect(Array(text.utf8) == printable)
    }

    @Test("text is bounded by its limit")
    func textLimit() throws {
        #expect(throws: XDRError.tooLong(length: 17, limit: 16)) {
            try decode(opaque(count: 17)) { decoder in try decoder.text(max: 16) }
        }
        #expect(try decode(opaque(count: 16)) { decoder in try decoder.text(max: 16) }.count == 16)
    }

    @Test("repaired text is cut, and what isn't printable becomes a question mark")
    func repairedText() throws {
        let bytes = opaque([0x61, 0x00, 0xff, 0x62, 0x63]) + xdr(9)
        try decode(bytes) { decoder throws in
            #expect(try decoder.repairedText(keeping: 4) == "a??b")
            #expect(try decoder.uint32() == 9)
        }
    }

    @Test("repaired text must still be there", arguments: [1, 4, 5, 8, 9, 0xffff_fff0, UInt32.max])
    func repairedTextBeyondEnd(length: UInt32) {
        #expect(throws: XDRError.truncated) {
            try decode(xdr(length)) { decoder in try decoder.repairedText(keeping: 4) }
        }
    }

    @Test("what is left over is told")
    func trailing() {
        #expect(throws: XDRError.trailing(3)) {
            try decode(xdr(1) + [0, 0, 0]) { decoder in
                _ = try decoder.uint32()
                try decoder.finish()
            }
        }
    }

    @Test("the rest is everything behind the last item, once")
    func rest() throws {
        try decode(xdr(1, 2)) { decoder throws in
            _ = try decoder.uint32()
            #expect(decoder.rest() == xdr(2))
            #expect(decoder.rest() == [])
            #expect(decoder.remaining == 0)
        }
    }

    @Test("words are big-endian, and need no alignment")
    func bigEndian() throws {
        #expect(xdr(0x0102_0304) == [1, 2, 3, 4])
        let bytes = [0xee] + xdr(0x0102_0304)
        let word = try bytes.withUnsafeBytes { raw in
            var decoder = XDRDecoder(UnsafeRawBufferPointer(rebasing: raw[1...]))
            return try decoder.uint32()
        }
        #expect(word == 0x0102_0304)
    }
}
