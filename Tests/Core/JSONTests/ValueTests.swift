import JSON
import Testing

@Suite("JSON's values") struct ValueTests {
    @Test(
        "no number is made of what is beyond 64 bits, a fraction, or not in its shortest form",
        arguments: [
            "9223372036854775808", "-9223372036854775809", "1.0", "1e3", "\"01\"", "\"-0\"", "\"+1\"", "\" 1\"",
            "\"\"", "\"-\"", "\"1.0\"", "\"9223372036854775808\"", "\"1\\u0000\"", "null", "true", "[1]", "{}",
        ])
    func noNumber(text: String) throws {
        #expect(try document(text).root.int64 == nil)
    }

    @Test(
        "whole numbers are read as such, and as texts",
        arguments: [
            ("0", 0), ("-0", 0), ("7", 7), ("\"0\"", 0), ("\"\\u0037\"", 7), ("9223372036854775807", .max),
            ("\"9223372036854775807\"", .max), ("-9223372036854775808", .min), ("\"-9223372036854775808\"", .min),
        ] as [(String, Int64)])
    func number(text: String, number: Int64) throws {
        #expect(try document(text).root.int64 == number)
    }

    @Test("texts are unescaped")
    func text() throws {
        let text = try document("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\ude00\\u0000é\"").root.text
        #expect(text == "a\"\\/\u{8}\u{c}\n\r\t\u{e9}😀\u{0}é")
        #expect(try document("1").root.text == nil)
    }

    @Test("members are found by their names, behind others of any shape")
    func members() throws {
        let root = try document("{\"x\":{\"a\":[1,{\"a\":2}]},\"y\":[[]],\"\\u0061\":{\"b\":true},\"ab\":false}").root
        #expect(root["a"]?["b"]?.bool == true && root["ab"]?.bool == false)
        #expect(root["x"]?["a"]?.isArray == true && root["b"] == nil && root[""] == nil)
        #expect(root["y"]?["a"] == nil && root["ab"]?["a"] == nil)
        #expect(root.members.map(\.name) == ["x", "y", "a", "ab"])
        #expect(root["x"]?.members.map(\.value.isArray) == [true])
    }

    @Test("elements come in their order; values of another kind have none")
    func elements() throws {
        let root = try document("[1,[2,[3]],{\"a\":4},5]").root
        #expect(root.elements.map(\.int64) == [1, nil, nil, 5])
        #expect(Array(root.elements)[1].elements.map(\.int64) == [2, nil])
        #expect(Array(root.elements)[2].elements.map(\.int64) == [])
        #expect(try document("\"[1]\"").root.elements.map(\.int64) == [])
        #expect(root.members.map(\.name) == [])
    }

    @Test("bytes are base64, also if their slashes are escaped")
    func base64() throws {
        #expect(try document("\"\\/+8=\"").root.base64 == [0xff, 0xef])
        #expect(try document("\"\"").root.base64 == [])
        #expect(try document("\"a\"").root.base64 == nil)
        #expect(try document("1").root.base64 == nil)
    }
}
