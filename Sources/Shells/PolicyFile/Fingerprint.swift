/// Shows whether two readings found the same files with the same bytes (FNV-1a, 64 bits); not safe against forgery.
struct Fingerprint {
    private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func add(_ path: String, _ bytes: [UInt8]) {
        for byte in path.utf8 { add(byte) }
        for byte in bytes { add(byte) }
    }

    private mutating func add(_ byte: UInt8) { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }
}
