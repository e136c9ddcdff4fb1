/// Appends XDR (RFC 4506) to an array of bytes.
public struct XDREncoder {
    public private(set) var bytes: [UInt8]

    public init(reserving capacity: Int = 64) {
        bytes = []
        bytes.reserveCapacity(capacity)
    }

    /// Empties the encoder, and keeps its memory.
    public mutating func clear() { bytes.removeAll(keepingCapacity: true) }

    public mutating func uint32(_ value: UInt32) {
        withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
    }

    /// Appends the first words of a message at once: one by one they would take three times as long.
    mutating func words(_ a: UInt32, _ b: UInt32, _ c: UInt32, _ d: UInt32, _ e: UInt32, _ f: UInt32) {
        withUnsafeBytes(of: (a.bigEndian, b.bigEndian, c.bigEndian, d.bigEndian, e.bigEndian, f.bigEndian)) {
            bytes.append(contentsOf: $0)
        }
    }

    public mutating func bool(_ value: Bool) {
        uint32(value ? 1 : 0)
    }

    public mutating func opaque(_ data: some Collection<UInt8>) {
        uint32(UInt32(data.count))
        bytes.append(contentsOf: data)
        for _ in 0..<(-data.count & 3) { bytes.append(0) }
    }

    public mutating func text(_ text: String) {
        opaque(text.utf8)
    }

    /// Appends bytes that are already XDR.
    public mutating func raw(_ data: some Collection<UInt8>) {
        bytes.append(contentsOf: data)
    }
}
