/// The words of a JSON text: strings, numbers, literals and the space between them.
struct JSONScanner {
    /// What is between two quotation marks.
    struct Text {
        var range: Range<Int>
        var isEscaped: Bool
    }

    let bytes: [UInt8]
    var place = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { place == bytes.count }
    var next: UInt8? { place < bytes.count ? bytes[place] : nil }
    var malformed: JSONError { .malformed(place: place) }

    mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { place += 1 }
    }

    mutating func take(_ sign: Unicode.Scalar) -> Bool {
        guard next == UInt8(ascii: sign) else { return false }
        place += 1
        return true
    }

    /// - Returns: the end of the word.
    mutating func word(_ word: StaticString) throws(JSONError) -> Int {
        for index in 0..<word.utf8CodeUnitCount {
            guard next == word.utf8Start[index] else { throw malformed }
            place += 1
        }
        return place
    }

    /// - Returns: the end of the number.
    mutating func number() throws(JSONError) -> Int {
        _ = take("-")
        if !take("0") { try digits() }
        if take(".") { try digits() }
        if take("e") || take("E") {
            if !take("+") { _ = take("-") }
            try digits()
        }
        return place
    }

    private mutating func digits() throws(JSONError) {
        let start = place
        while let byte = next, UInt8(ascii: "0") <= byte, byte <= UInt8(ascii: "9") { place += 1 }
        guard place > start else { throw malformed }
    }

    mutating func text() throws(JSONError) -> Text {
        guard take("\"") else { throw malformed }
        let start = place
        var isEscaped = false
        var isASCII = true
        while let byte = next, byte != UInt8(ascii: "\"") {
            guard byte >= 0x20 else { throw malformed }
            isASCII = isASCII && byte < 0x80
            if byte == UInt8(ascii: "\\") {
                isEscaped = true
                try skipEscape()
            } else {
                place += 1
            }
        }
        let range = start..<place
        guard take("\"") else { throw malformed }
        guard isASCII || String(validating: bytes[range], as: UTF8.self) != nil else {
            throw .malformed(place: start)
        }
        return Text(range: range, isEscaped: isEscaped)
    }

    private mutating func skipEscape() throws(JSONError) {
        guard let (_, end) = Self.escape(in: bytes[...], at: place) else { throw malformed }
        place = end
    }

    /// The character that the escape sequence at `place` stands for, and where the sequence ends.
    private static func escape(in bytes: ArraySlice<UInt8>, at place: Int) -> (Unicode.Scalar, end: Int)? {
        guard place + 1 < bytes.endIndex else { return nil }
        let scalar: Unicode.Scalar
        switch bytes[place + 1] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): scalar = Unicode.Scalar(bytes[place + 1])
        case UInt8(ascii: "b"): scalar = "\u{8}"
        case UInt8(ascii: "f"): scalar = "\u{c}"
        case UInt8(ascii: "n"): scalar = "\n"
        case UInt8(ascii: "r"): scalar = "\r"
        case UInt8(ascii: "t"): scalar = "\t"
        case UInt8(ascii: "u"): return unicodeEscape(in: bytes, at: place)
        case _: return nil
        }
        return (scalar, place + 2)
    }

    /// Characters beyond U+FFFF are a pair of surrogates (RFC 8259, 7); a half of one stands for nothing.
    private static func unicodeEscape(in bytes: ArraySlice<UInt8>, at place: Int) -> (Unicode.Scalar, end: Int)? {
        guard let first = fourDigits(in: bytes, at: place + 2) else { return nil }
        guard (0xd800..<0xdc00).contains(first) else { return Unicode.Scalar(first).map { ($0, place + 6) } }
        guard place + 7 < bytes.endIndex, bytes[place + 6] == UInt8(ascii: "\\"),
            bytes[place + 7] == UInt8(ascii: "u"), let second = fourDigits(in: bytes, at: place + 8),
            (0xdc00..<0xe000).contains(second)
        else { return nil }
        return Unicode.Scalar(0x10000 + (first - 0xd800) << 10 + (second - 0xdc00)).map { ($0, place + 12) }
    }

    private static func fourDigits(in bytes: ArraySlice<UInt8>, at place: Int) -> UInt32? {
        guard place + 4 <= bytes.endIndex else { return nil }
        var value: UInt32 = 0
        for byte in bytes[place..<place + 4] {
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else { return nil }
            value = value << 4 | UInt32(digit)
        }
        return value
    }

    /// The bytes that a checked text stands for.
    static func unescaped(_ text: ArraySlice<UInt8>) -> [UInt8] {
        var found: [UInt8] = []
        found.reserveCapacity(text.count)
        var place = text.startIndex
        while place < text.endIndex {
            if text[place] == UInt8(ascii: "\\"), let (scalar, end) = escape(in: text, at: place) {
                found += UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter
                place = end
            } else {
                found.append(text[place])
                place += 1
            }
        }
        return found
    }
}
