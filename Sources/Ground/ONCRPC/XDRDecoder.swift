/// Why bytes are not the expected XDR.
public enum XDRError: Error, Hashable, Sendable {
    /// Fewer bytes are left than the item needs.
    case truncated
    /// A length exceeds the limit for its item.
    case tooLong(length: UInt32, limit: Int)
    /// A Boolean or a union's discriminant has a value outside its type.
    case invalid(UInt32)
    /// A string holds bytes other than printable ASCII.
    case notText
    /// Bytes remain after the last item.
    case trailing(Int)
}

/// Reads XDR (RFC 4506) from bytes that must outlive the decoder.
///
/// Every length is checked against the remaining bytes before anything is read or allocated.
public struct XDRDecoder {
    @usableFromInline let bytes: UnsafeRawBufferPointer
    @usableFromInline var offset = 0

    public init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    @inlinable public var remaining: Int { bytes.count - offset }

    // Inlined, also into other modules, since a call has fourteen of them.
    @inlinable
    @inline(__always)
    public mutating func uint32() throws(XDRError) -> UInt32 {
        guard remaining >= 4 else { throw .truncated }
        defer { offset += 4 }
        return UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    public mutating func bool() throws(XDRError) -> Bool {
        switch try uint32() {
        case 0: return false
        case 1: return true
        case let value: throw .invalid(value)
        }
    }

    /// Variable-length opaque data with its padding; the result points into the decoder's bytes.
    public mutating func opaque(max limit: Int) throws(XDRError) -> UnsafeRawBufferPointer {
        let length = try uint32()
        guard length <= UInt32(clamping: limit) else { throw .tooLong(length: length, limit: limit) }
        let padded = (Int(length) + 3) & ~3  // RFC 4506, 4.10
        guard padded <= remaining else { throw .truncated }
        defer { offset += padded }
        return UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + Int(length)])
    }

    /// A string of printable ASCII.
    public mutating func text(max limit: Int) throws(XDRError) -> String {
        let bytes = try opaque(max: limit)
        guard bytes.allSatisfy({ (0x20...0x7e).contains($0) }) else { throw .notText }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Any string, cut to `kept` bytes; bytes other than printable ASCII become `?`.
    public mutating func repairedText(keeping kept: Int) throws(XDRError) -> String {
        let bytes = try opaque(max: Int.max)
        let repaired = bytes.prefix(kept).map { (0x20...0x7e).contains($0) ? $0 : UInt8(ascii: "?") }
        return String(decoding: repaired, as: UTF8.self)
    }

    /// All remaining bytes, undecoded.
    public mutating func rest() -> [UInt8] {
        defer { offset = bytes.count }
        return Array(bytes[offset...])
    }

    /// - Throws: ``XDRError/trailing(_:)`` if bytes remain.
    public func finish() throws(XDRError) {
        guard remaining == 0 else { throw .trailing(remaining) }
    }
}
