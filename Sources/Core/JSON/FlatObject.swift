/// The members of one object, such as a line of a log, in one pass and without a tree; what is nested is read over.
///
/// As strict as ``JSONDocument``, except that a name may be there twice: the reader of the members judges that.
public enum FlatObject {
    public struct Value: Hashable, Sendable {
        enum Kind: Hashable, Sendable {
            case text(isEscaped: Bool)
            case number
            case flag
            case other
        }

        /// Of a text, without its quotation marks.
        let range: Range<Int>
        let kind: Kind

        /// The bytes of a text, a number, `true` or `false`; `nil` for everything else.
        public func utf8(in bytes: [UInt8]) -> ArraySlice<UInt8>? {
            switch kind {
            case .text(isEscaped: true): JSONScanner.unescaped(bytes[range])[...]
            case .text(isEscaped: false), .number, .flag: bytes[range]
            case .other: nil
            }
        }
    }

    public static let depthMax = 8

    /// Calls `body` for each member with its name, whose escape sequences are resolved.
    public static func forEachMember(
        of bytes: [UInt8], _ body: (ArraySlice<UInt8>, Value) -> Void
    ) throws(JSONError) {
        var text = JSONScanner(bytes)
        text.skipSpace()
        guard text.take("{") else { throw text.malformed }
        text.skipSpace()
        if !text.take("}") {
            repeat {
                text.skipSpace()
                let name = try text.text()
                text.skipSpace()
                guard text.take(":") else { throw text.malformed }
                let value = try value(&text, depth: 1)
                body(name.isEscaped ? JSONScanner.unescaped(bytes[name.range])[...] : bytes[name.range], value)
                text.skipSpace()
            } while text.take(",")
            guard text.take("}") else { throw text.malformed }
        }
        text.skipSpace()
        guard text.isAtEnd else { throw text.malformed }
    }

    private static func value(_ text: inout JSONScanner, depth: Int) throws(JSONError) -> Value {
        text.skipSpace()
        let start = text.place
        switch text.next {
        case UInt8(ascii: "\""):
            let found = try text.text()
            return Value(range: found.range, kind: .text(isEscaped: found.isEscaped))
        case UInt8(ascii: "t"): return Value(range: start..<(try text.word("true")), kind: .flag)
        case UInt8(ascii: "f"): return Value(range: start..<(try text.word("false")), kind: .flag)
        case UInt8(ascii: "n"): return Value(range: start..<(try text.word("null")), kind: .other)
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            try skipContainer(&text, depth: depth)
            return Value(range: start..<text.place, kind: .other)
        case _: return Value(range: start..<(try text.number()), kind: .number)
        }
    }

    private static func skipContainer(_ text: inout JSONScanner, depth: Int) throws(JSONError) {
        guard depth < depthMax else { throw .tooDeep }
        let isObject = text.take("{")
        if !isObject { _ = text.take("[") }
        let end: Unicode.Scalar = isObject ? "}" : "]"
        text.skipSpace()
        if text.take(end) { return }
        repeat {
            text.skipSpace()
            if isObject {
                _ = try text.text()
                text.skipSpace()
                guard text.take(":") else { throw text.malformed }
            }
            _ = try value(&text, depth: depth + 1)
            text.skipSpace()
        } while text.take(",")
        guard text.take(end) else { throw text.malformed }
    }
}
