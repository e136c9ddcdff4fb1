import JSON
import Signatures
import Testing

@testable import Reports

@Suite("the page's style") struct PageStyleTests {
    @Test("has the hash that the page's Content-Security-Policy names; otherwise no browser would take it")
    func hash() throws {
        var text: [UInt8] = Array("sha256-".utf8)
        var digits = SHA256.digest(of: Array(WebPageStyle.text.utf8))[...]
        var bytes: [UInt8] = []
        while !digits.isEmpty {
            bytes.append(try #require(UInt8(digits.prefix(2), radix: 16)))
            digits = digits.dropFirst(2)
        }
        Base64.append(bytes, to: &text)
        #expect(WebPageStyle.hash == String(decoding: text, as: UTF8.self))
    }

    @Test("leaves nothing to anybody outside")
    func references() { for word in ["url(", "@import", "http"] { #expect(!WebPageStyle.text.contains(word)) } }
}
