import JSON
import Testing

func document(_ text: String, limits: JSONLimits = JSONLimits(bytesMax: 1 << 20)) throws(JSONError) -> JSONDocument {
    try JSONDocument(Array(text.utf8), limits: limits)
}

func failure(_ bytes: [UInt8], limits: JSONLimits = JSONLimits(bytesMax: 1 << 20)) -> JSONError? {
    do {
        _ = try JSONDocument(bytes, limits: limits)
        return nil
    } catch {
        return error
    }
}

@Suite("JSON's grammar") struct GrammarTests {
    @Test(
        "refuses what RFC 8259 doesn't permit, and tells where",
        arguments: [
            ("", 0), (" ", 1), ("{", 1), ("[", 1), ("]", 0), ("}", 0), ("[1", 2), ("[1,", 3), ("[1,]", 3), ("[,1]", 1),
            ("[1 2]", 3), ("{\"a\"}", 4), ("{\"a\":}", 5), ("{\"a\":1,}", 7), ("{,}", 1), ("{a:1}", 1), ("{1:1}", 1),
            ("{\"a\" 1}", 5), ("{\"a\":1 \"b\":2}", 7), ("[1}", 2), ("{\"a\":1]", 6), ("1 2", 2), ("{}{}", 2),
            ("nul", 3), ("nulL", 3), ("True", 0), ("truex", 4), ("NaN", 0), ("Infinity", 0), ("'a'", 0),
            ("+1", 0), ("-", 1), ("01", 1), ("-01", 2), ("1.", 2), (".1", 0), ("1e", 2), ("1e+", 3), ("1.e1", 2),
            ("0x1", 1), ("1_0", 1), ("\"", 1), ("\"a", 2), ("\"\n\"", 1), ("\"\u{0}\"", 1), ("\"\u{1f}\"", 1),
            ("\"\\\"", 3), ("\"\\x\"", 1), ("\"\\u12\"", 1), ("\"\\u12g4\"", 1), ("\"\\u+123\"", 1),
            ("\"\\ud800\"", 1), ("\"\\udc00\"", 1), ("\"\\ud800\\ud800\"", 1), ("\"\\ud800x\"", 1),
            ("\"\\ud800\\\"", 1), ("/**/1", 0), ("\u{feff}1", 0), ("\u{a0}1", 0), ("1\u{0}", 1),
        ])
    func malformed(text: String, place: Int) {
        #expect(failure(Array(text.utf8)) == .malformed(place: place), "\(text)")
    }

    @Test(
        "refuses bytes that aren't UTF-8",
        arguments: [[0x80], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf5, 0x80], [0xe2]])
    func encoding(bytes: [UInt8]) {
        #expect(failure([0x22] + bytes + [0x22]) == .malformed(place: 1))
        #expect(failure(bytes) == .malformed(place: 0))
    }

    @Test(
        "refuses a name that is twice in an object, however it is written",
        arguments: [
            ("{\"a\":1,\"a\":1}", 7), ("{\"a\":{\"b\":[]},\"c\":[1,2],\"a\":1}", 24), ("{\"\":1,\"\":2}", 6),
            ("{\"a\":1,\"\\u0061\":1}", 7), ("{\"\\u0061\":1,\"a\":1}", 12), ("[{\"/\":1,\"\\/\":1}]", 8),
        ])
    func duplicates(text: String, place: Int) {
        #expect(failure(Array(text.utf8)) == .duplicateMember(place: place))
    }

    @Test(
        "takes what the RFC permits",
        arguments: [
            "1", " 1\t\r\n", "-0", "0.0", "1E5", "1e-5", "-1.5e+05", "99999999999999999999", "\"\"", "\"\u{7f}é😀\"",
            "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\\u0000\"", "[]", "[ ]", "{}", "{ }", "[[],{},[{}]]",
            "{\"a\":{\"a\":{\"a\":null}}}", "[true,false,null]", "{\"a\":1,\"A\":2,\"\":3}",
        ])
    func grammar(text: String) {
        #expect(failure(Array(text.utf8)) == nil)
    }

    /// A page as etcd 3.4.23 sends it.
    private static let page = """
        {"header":{"cluster_id":"324952591200643719","member_id":"3319814642761637952","revision":"6","raft_term":"2"},\
        "kvs":[{"key":"YQ==","create_revision":"2","mod_revision":"6","version":"5","value":"eA==","lease":"-7"}],\
        "more":true,"count":"1","x":["\\ud83d\\ude00",-1.5e3,null]}
        """

    @Test("refuses every prefix of a text, and every text with something behind it")
    func prefixes() {
        let bytes = Array(Self.page.utf8)
        #expect(failure(bytes) == nil)
        for count in 0..<bytes.count { #expect(failure(Array(bytes.prefix(count))) != nil) }
        for more in [",", "}", "0", "\"", "x"] { #expect(failure(bytes + Array(more.utf8)) != nil) }
    }

    @Test("survives any byte at any place")
    func mutations() {
        let bytes = Array(Self.page.utf8)
        for place in bytes.indices {
            for byte in [0, 0x0a, 0x22, 0x2c, 0x30, 0x3a, 0x5b, 0x5c, 0x5d, 0x7b, 0x7d, 0xff] as [UInt8] {
                var changed = bytes
                changed[place] = byte
                guard failure(changed) == nil else { continue }
                // What is taken is readable.
                do {
                    _ = try JSONDocument(changed, limits: JSONLimits(bytesMax: 4096)).root["kvs"]?.elements.map(\.text)
                } catch {}
            }
        }
    }
}
