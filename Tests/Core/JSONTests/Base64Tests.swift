import JSON
import Testing

@Suite("base64") struct Base64Tests {
    private static let pairs: [([UInt8], String)] = [
        // RFC 4648, 10
        (Array("".utf8), ""), (Array("f".utf8), "Zg=="), (Array("fo".utf8), "Zm8="), (Array("foo".utf8), "Zm9v"),
        (Array("foob".utf8), "Zm9vYg=="), (Array("fooba".utf8), "Zm9vYmE="), (Array("foobar".utf8), "Zm9vYmFy"),
        ([0xfb, 0xff, 0xbf], "+/+/"), ([0, 0, 0, 0], "AAAAAA=="),
    ]

    @Test(
        "refuses other signs, missing padding and bits that no byte has",
        arguments: [
            "Z", "Zg", "Zg=", "Zg===", "Z===", "====", "Zh==", "Zm9=", "Zm9vYg", "Zm 9", "Zm9-", "Zm9_", "=m9v",
            "Zg==Zg==",
            "Zm8\n", "Zmé=",
        ])
    func malformed(text: String) {
        #expect(Base64.decoded(Array(text.utf8)[...]) == nil)
    }

    @Test("writes and reads RFC 4648's examples, and all signs", arguments: pairs)
    func examples(bytes: [UInt8], text: String) {
        var written: [UInt8] = []
        Base64.append(bytes, to: &written)
        #expect(written == Array(text.utf8))
        #expect(Base64.decoded(written[...]) == bytes)
    }

    @Test("reads what it wrote, of any length")
    func lengths() {
        for count in 0..<100 {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 * 37 + count) }
            var written: [UInt8] = []
            Base64.append(bytes, to: &written)
            #expect(Base64.decoded(written[...]) == bytes)
        }
    }
}
