import CSodium

/// The hash by which a store's bundle is named (FIPS 180-4).
public enum SHA256 {
    /// In hexadecimal.
    public static func digest(of message: [UInt8]) -> String {
        var hash = [UInt8](repeating: 0, count: Int(crypto_hash_sha256_BYTES))
        crypto_hash_sha256(&hash, message, UInt64(message.count))
        var digits = [CChar](repeating: 0, count: hash.count * 2 + 1)
        sodium_bin2hex(&digits, digits.count, hash, hash.count)
        return String(decoding: digits.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
