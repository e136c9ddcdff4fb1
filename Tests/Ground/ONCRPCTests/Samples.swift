import ONCRPC

/// The words encoded as XDR.
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
