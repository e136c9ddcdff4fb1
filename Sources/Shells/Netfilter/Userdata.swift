/// nft's userdata, which the kernel stores unread: records of a type byte, a length byte and a value.
enum Userdata {
    /// Longer comments are cut: the length byte's limit is 255, nft's own is 128 with the final zero.
    static let commentBytesMax = 127

    static func record(_ type: UInt8, _ value: [UInt8]) -> [UInt8] {
        precondition(value.count <= UInt8.max, "a record's length has 8 bits")
        return [type, UInt8(value.count)] + value
    }

    static func number(_ type: UInt8, _ value: UInt32) -> [UInt8] {
        record(type, withUnsafeBytes(of: value) { Array($0) })
    }

    static func expression(_ kind: UInt32, _ data: [UInt8]) -> [UInt8] {
        number(0, kind) + record(1, data)
    }

    /// A comment with its final zero, cut between characters.
    static func comment(_ type: UInt8, _ text: String) -> [UInt8] {
        let text = cut(text).utf8
        var record: [UInt8] = []
        record.reserveCapacity(text.count + 3)
        record.append(type)
        record.append(UInt8(text.count + 1))
        record += text
        record.append(0)
        return record
    }

    /// The longest prefix of `text` that fits in ``commentBytesMax``, without zeros, line ends and quotes, which
    /// nft can't read back.
    static func cut(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy { (0x20..<0x7f).contains($0) && $0 != UInt8(ascii: "\"") }
        if isPlain && text.utf8.count <= commentBytesMax { return text }
        var kept = String.UnicodeScalarView()
        var bytes = 0
        for scalar in text.unicodeScalars {
            let safe: Unicode.Scalar = scalar.value < 0x20 || scalar.value == 0x7f || scalar == "\"" ? "?" : scalar
            bytes += UTF8.width(safe)
            guard bytes <= commentBytesMax else { break }
            kept.append(safe)
        }
        return String(kept)
    }

    /// The comment in userdata read from the kernel.
    static func comment(in bytes: UnsafeRawBufferPointer, type: UInt8 = 0) -> String? {
        var rest = bytes
        while rest.count >= 2, rest.count >= 2 + Int(rest[1]) {
            if rest[0] == type { return UnsafeRawBufferPointer(rebasing: rest[2..<(2 + Int(rest[1]))]).text }
            rest = rest.dropping(2 + Int(rest[1]))
        }
        return nil
    }
}
