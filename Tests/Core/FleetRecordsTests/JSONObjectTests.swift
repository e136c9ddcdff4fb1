import FleetRecords
import JSON
import Testing

/// Records and messages are read by JSONObject, answers of etcd by JSONDocument: what one refuses, the other does.
@Suite("small objects of JSON") struct JSONObjectTests {
    private static func nested(_ count: Int, _ open: String, _ close: String) -> String {
        #"{"x":"# + String(repeating: open, count: count) + "1" + String(repeating: close, count: count) + "}"
    }

    private static let refused = [
        "", " ", "{", "}", "[]", "[{}]", "1", "null", #""x""#, "{}{}", "{}x", "{} ,", "{}\0", "\u{feff}{}", "{,}",
        #"{"x"}"#, #"{"x":}"#, #"{"x":1,}"#, #"{"x" 1}"#, #"{"x":1 "y":2}"#, #"{x:1}"#, #"{'x':1}"#, #"{1:1}"#,
        // Names that are there twice, in whichever form.
        #"{"x":1,"x":1}"#, #"{"x":1,"\u0078":2}"#, #"{"y":{"x":1,"x":2}}"#, #"{"":1,"":2}"#,
        // Numbers.
        #"{"x":01}"#, #"{"x":-}"#, #"{"x":+1}"#, #"{"x":.5}"#, #"{"x":1.}"#, #"{"x":1e}"#, #"{"x":1e+}"#, #"{"x":0x1}"#,
        #"{"x":1_0}"#, #"{"x":--1}"#, #"{"x":NaN}"#, #"{"x":-Infinity}"#, #"{"x":1 2}"#,
        // Words.
        #"{"x":tru}"#, #"{"x":True}"#, #"{"x":nul}"#, #"{"x":truefalse}"#,
        // Texts.
        #"{"x":"\x"}"#, #"{"x":"\u12"}"#, #"{"x":"\u+1ab"}"#, #"{"x":"\ud800"}"#, #"{"x":"\udc00"}"#,
        #"{"x":"\ud800\u0041"}"#, #"{"x":"\ud800x"}"#, #"{"x":"\ud83d\ude0"}"#, "{\"x\":\"\n\"}", "{\"x\":\"\u{1f}\"}",
        #"{"x":"\"}"#, #"{"x":"y}"#, #"{"x":"\u"}"#, #"{"x":"\U0041"}"#,
        // Containers within each other.
        nested(8, "[", "]"), nested(8, #"{"x":"#, "}"), nested(500, "[", "]"), #"{"x":[}"#, #"{"x":[1,]}"#,
        #"{"x":[1 2]}"#,
        #"{"x":"# + String(repeating: " ", count: 1024) + "1}",
    ]

    private static let taken = [
        "{}", " \t\r\n{ } \n", #"{"x":1}"#, #"{"x":-1}"#, #"{"x":0}"#, #"{"x":-0}"#, #"{"x":"-0"}"#, #"{"x":"0"}"#,
        #"{"x":"01"}"#, #"{"x":"+1"}"#, #"{"x":" 1"}"#, #"{"x":"1 "}"#, #"{"x":"1.0"}"#, #"{"x":1.0}"#, #"{"x":1e3}"#,
        #"{"x":9223372036854775807}"#, #"{"x":9223372036854775808}"#, #"{"x":-9223372036854775808}"#,
        #"{"x":"-9223372036854775808"}"#, #"{"x":"9223372036854775808"}"#, #"{"x":123456789012345678901234567890}"#,
        #"{"x":true}"#, #"{"x":false}"#, #"{"x":null}"#, #"{"x":[]}"#, #"{"x":{}}"#, #"{"x":""}"#,
        #"{"x":"\"\\\/\b\f\n\r\t"}"#, #"{"x":"\u0000\u0041\uD83D\uDE00"}"#, #"{"x":"é😀"}"#,
        "{\"x\":\"\u{7f}\u{2028}\"}",
        #"{"\u0078":7}"#, #"{"":1,"x":2}"#, #"{"é":1,"e\u0301":2}"#, #"{"y":[{"x":1},{"x":1}],"x":5}"#,
        nested(7, "[", "]"), nested(7, #"{"x":"#, "}"), #"{"x":"# + String(repeating: " ", count: 1016) + "1}",
    ]

    private static let limits = JSONLimits(bytesMax: JSONObject.bytesMax, depthMax: 8)

    private func document(_ bytes: [UInt8]) -> JSONValue? {
        do {
            let root = try JSONDocument(bytes, limits: Self.limits).root
            return root.isObject ? root : nil
        } catch {
            return nil
        }
    }

    @Test("are refused by both readers", arguments: refused)
    func refusals(text: String) {
        #expect(JSONObject(text.utf8) == nil)
        #expect(document(Array(text.utf8)) == nil)
    }

    @Test("are taken by both readers, and mean the same", arguments: taken)
    func values(text: String) throws {
        let object = try #require(JSONObject(text.utf8))
        let root = try #require(document(Array(text.utf8)))
        #expect(object.text("x") == root["x"]?.text)
        #expect(object.number("x") == root["x"]?.int64)
        #expect(object.flag("x") == root["x"]?.bool)
        for count in text.utf8.indices {
            #expect(JSONObject(text.utf8[..<count]) == nil || text.utf8[count...].allSatisfy { $0 <= 0x20 })
        }
    }

    @Test("whose bytes are no UTF-8 are refused by both readers", arguments: [0x80, 0xc0, 0xff] as [UInt8])
    func encoding(byte: UInt8) {
        for text in [
            Array(#"{"x":""#.utf8) + [byte] + Array(#""}"#.utf8), Array(#"{""#.utf8) + [byte] + Array(#"":1}"#.utf8),
        ] {
            #expect(JSONObject(text) == nil)
            #expect(document(text) == nil)
        }
    }
}
