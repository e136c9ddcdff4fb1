import ONCRPC

/// The words as XDR.
func xdr(_ words: UInt32...) -> [UInt8] {
    var encoder = XDREncoder()
    for word in words { encoder.uint32(word) }
    return encoder.bytes
}

/// XDR opaque data with its length and padding.
func opaque(_ bytes: [UInt8]) -> [UInt8] {
    var encoder = XDREncoder()
    encoder.opaque(bytes)
    return encoder.bytes
}

func opaque(count: Int) -> [UInt8] { opaque([UInt8](repeating: 0x61, count: count)) }

func decode<Value>(_ bytes: [UInt8], _ body: (inout XDRDecoder) throws -> Value) rethrows -> Value {
    try bytes.withUnsafeBytes { raw in
        var decoder = XDRDecoder(raw)
        return try body(&decoder)
    }
}

/// SplitMix64: the same numbers for the same seed, everywhere.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    mutating func bytes(count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) }
    }
}
