/// Base64 with padding (RFC 4648, 4), as protobuf's JSON mapping writes bytes.
public enum Base64 {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    public static func append(_ bytes: some Collection<UInt8>, to text: inout [UInt8]) {
        var group: UInt32 = 0
        var count = 0
        for byte in bytes {
            group = group << 8 | UInt32(byte)
            count += 1
            guard count == 3 else { continue }
            appendDigits(of: group, count: 4, to: &text)
            group = 0
            count = 0
        }
        guard count > 0 else { return }
        appendDigits(of: group << (24 - 8 * count), count: count + 1, to: &text)
        for _ in count..<3 { text.append(UInt8(ascii: "=")) }
    }

    /// The first digits of a group of 24 bits.
    private static func appendDigits(of group: UInt32, count: Int, to text: inout [UInt8]) {
        for digit in 0..<count { text.append(alphabet[Int(group >> (18 - 6 * digit) & 63)]) }
    }

    /// `nil` if it is no base64 text in its only form: other signs, missing padding, or bits that no byte has.
    public static func decoded(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        guard text.count % 4 == 0 else { return nil }
        let padding = text.suffix(2).reversed().prefix { $0 == UInt8(ascii: "=") }.count
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count / 4 * 3)
        var group: UInt32 = 0
        var count = 0
        for sign in text.dropLast(padding) {
            guard let value = value(of: sign) else { return nil }
            group = group << 6 | value
            count += 1
            guard count == 4 else { continue }
            bytes.append(UInt8(truncatingIfNeeded: group >> 16))
            bytes.append(UInt8(truncatingIfNeeded: group >> 8))
            bytes.append(UInt8(truncatingIfNeeded: group))
            group = 0
            count = 0
        }
        guard padding > 0 else { return bytes }
        // Two digits are a byte and 4 bits, three digits are two bytes and 2 bits; these bits are zero.
        let spare = UInt32(2 * padding)
        guard group & (1 << spare - 1) == 0 else { return nil }
        group >>= spare
        if padding == 1 { bytes.append(UInt8(truncatingIfNeeded: group >> 8)) }
        bytes.append(UInt8(truncatingIfNeeded: group))
        return bytes
    }

    private static func value(of sign: UInt8) -> UInt32? {
        switch sign {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(sign - UInt8(ascii: "A"))
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(sign - UInt8(ascii: "a")) + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(sign - UInt8(ascii: "0")) + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        case _: nil
        }
    }
}
