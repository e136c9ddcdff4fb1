/// The members of a small JSON object (RFC 8259): texts and whole numbers; others are read over.
///
/// Nothing is allocated before the length is checked, and nesting is bounded. A member that is there twice is refused,
/// for another reader might take the other one.
struct JSONObject: Sendable {
    enum Value: Hashable, Sendable {
        case text(String)
        case number(Int64)
        case other
    }

    private(set) var members: [String: Value] = [:]

    static let bytesMax = 1024
    private static let depthMax = 8

    /// `nil` if the bytes aren't one object and nothing else.
    init?(_ bytes: some Collection<UInt8>) {
        guard bytes.count <= Self.bytesMax else { return nil }
        var reader = Reader(bytes: Array(bytes))
        reader.skipSpace()
        guard let members = reader.object(depth: 0) else { return nil }
        reader.skipSpace()
        guard reader.isAtEnd else { return nil }
        self.members = members
    }

    func text(_ name: String) -> String? {
        guard case .text(let text)? = members[name] else { return nil }
        return text
    }

    /// A 64-bit number is written as text, as etcd does; a plain one is read too.
    func number(_ name: String) -> Int64? {
        switch members[name] {
        case .text(let text)?: Int64(text).flatMap { String($0) == text ? $0 : nil }
        case .number(let number)?: number
        case .other?, nil: nil
        }
    }

    private struct Reader {
        let bytes: [UInt8]
        var place = 0

        var isAtEnd: Bool { place == bytes.count }
        private var next: UInt8? { place < bytes.count ? bytes[place] : nil }

        mutating func skipSpace() {
            while let byte = next, [0x20, 0x09, 0x0a, 0x0d].contains(byte) { place += 1 }
        }

        private mutating func take(_ sign: Unicode.Scalar) -> Bool {
            guard next == UInt8(ascii: sign) else { return false }
            place += 1
            return true
        }

        mutating func object(depth: Int) -> [String: Value]? {
            guard depth < JSONObject.depthMax, take("{") else { return nil }
            var members: [String: Value] = [:]
            skipSpace()
            if take("}") { return members }
            while true {
                skipSpace()
                guard let name = text(), members[name] == nil else { return nil }
                skipSpace()
                guard take(":"), let value = value(depth: depth + 1) else { return nil }
                members[name] = value
                skipSpace()
                if take("}") { return members }
                guard take(",") else { return nil }
            }
        }

        private mutating func array(depth: Int) -> Bool {
            guard depth < JSONObject.depthMax, take("[") else { return false }
            skipSpace()
            if take("]") { return true }
            while true {
                guard value(depth: depth + 1) != nil else { return false }
                skipSpace()
                if take("]") { return true }
                guard take(",") else { return false }
            }
        }

        private mutating func value(depth: Int) -> Value? {
            skipSpace()
            switch next {
            case UInt8(ascii: "\""): return text().map(Value.text)
            case UInt8(ascii: "{"): return object(depth: depth) == nil ? nil : .other
            case UInt8(ascii: "["): return array(depth: depth) ? .other : nil
            case UInt8(ascii: "t"): return word("true")
            case UInt8(ascii: "f"): return word("false")
            case UInt8(ascii: "n"): return word("null")
            default: return number()
            }
        }

        private mutating func word(_ word: String) -> Value? {
            guard bytes[place...].starts(with: word.utf8) else { return nil }
            place += word.utf8.count
            return .other
        }

        private mutating func digits() -> Int {
            let start = place
            while let byte = next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { place += 1 }
            return place - start
        }

        /// Fractions and exponents are read over.
        private mutating func number() -> Value? {
            let start = place
            _ = take("-")
            let hasLeadingZero = next == UInt8(ascii: "0")
            let count = digits()
            guard count > 0, !hasLeadingZero || count == 1 else { return nil }
            var isWhole = true
            if take(".") {
                isWhole = false
                guard digits() > 0 else { return nil }
            }
            if take("e") || take("E") {
                isWhole = false
                if !take("+") { _ = take("-") }
                guard digits() > 0 else { return nil }
            }
            guard isWhole else { return .other }
            return Int64(String(decoding: bytes[start..<place], as: UTF8.self)).map(Value.number) ?? .other
        }

        private mutating func text() -> String? {
            guard take("\"") else { return nil }
            var found: [UInt8] = []
            while let byte = next {
                place += 1
                switch byte {
                case UInt8(ascii: "\""): return String(validating: found, as: UTF8.self)
                case UInt8(ascii: "\\"):
                    guard let scalar = escaped() else { return nil }
                    found += String(Character(scalar)).utf8
                case ..<0x20: return nil
                default: found.append(byte)
                }
            }
            return nil
        }

        private mutating func escaped() -> Unicode.Scalar? {
            guard let byte = next else { return nil }
            place += 1
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
            case UInt8(ascii: "b"): return "\u{8}"
            case UInt8(ascii: "f"): return "\u{c}"
            case UInt8(ascii: "n"): return "\n"
            case UInt8(ascii: "r"): return "\r"
            case UInt8(ascii: "t"): return "\t"
            case UInt8(ascii: "u"): return fourDigits().flatMap { scalar(after: $0) }
            default: return nil
            }
        }

        private mutating func scalar(after first: UInt32) -> Unicode.Scalar? {
            guard (0xd800..<0xdc00).contains(first) else { return Unicode.Scalar(first) }
            guard take("\\"), take("u"), let second = fourDigits(), (0xdc00..<0xe000).contains(second) else {
                return nil
            }
            return Unicode.Scalar(0x10000 + (first - 0xd800) << 10 + (second - 0xdc00))
        }

        private mutating func fourDigits() -> UInt32? {
            guard place + 4 <= bytes.count else { return nil }
            let digits = String(decoding: bytes[place..<place + 4], as: UTF8.self)
            place += 4
            // `UInt32("+1ab", radix: 16)` is a number too.
            guard digits.allSatisfy(\.isHexDigit) else { return nil }
            return UInt32(digits, radix: 16)
        }
    }
}
