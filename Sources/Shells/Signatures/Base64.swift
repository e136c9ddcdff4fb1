import CSodium

/// Base64 with padding (RFC 4648, 4).
enum Base64 {
    private static let variant = Int32(sodium_base64_VARIANT_ORIGINAL)

    /// `nil`: the text is no base64 of exactly `count` bytes.
    static func bytes(_ text: some StringProtocol, count: Int) -> [UInt8]? {
        // One byte more shows that there are too many.
        var bytes = [UInt8](repeating: 0, count: count + 1)
        let characters = Array(text.utf8)
        var length = 0
        let isText = characters.withUnsafeBytes { characters in
            sodium_base642bin(
                &bytes, bytes.count, characters.baseAddress?.assumingMemoryBound(to: CChar.self), characters.count,
                nil, &length, nil, variant) == 0
        }
        guard isText, length == count else { return nil }
        return Array(bytes.prefix(count))
    }

    static func text(_ bytes: [UInt8]) -> String {
        var characters = [CChar](repeating: 0, count: bytes.count / 3 * 4 + 5)
        sodium_bin2base64(&characters, characters.count, bytes, bytes.count, variant)
        return String(decoding: characters.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
