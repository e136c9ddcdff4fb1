/// Iterates over the netlink attributes in a buffer; stops at the first incomplete one.
struct Attributes: Sequence, IteratorProtocol {
    struct Attribute {
        /// The attribute's type without the flags for nesting and byte order.
        let type: UInt32
        let payload: UnsafeRawBufferPointer

        var nested: Attributes { Attributes(payload) }
    }

    private var rest: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) { rest = bytes }

    mutating func next() -> Attribute? {
        guard rest.count >= 4 else { return nil }
        let length = Int(rest.loadUnaligned(as: UInt16.self))
        let type = rest.loadUnaligned(fromByteOffset: 2, as: UInt16.self)
        guard length >= 4, length <= rest.count else { return nil }
        let payload = UnsafeRawBufferPointer(rebasing: rest[4..<length])
        rest = rest.dropping((length + 3) & ~3)
        return Attribute(type: UInt32(type & 0x3fff), payload: payload)
    }
}

/// Accessors for data from the kernel: a buffer that is too short gives `nil`, never a trap.
extension UnsafeRawBufferPointer {
    func dropping(_ count: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: dropFirst(count))
    }

    func native<Value: FixedWidthInteger & BitwiseCopyable>(_: Value.Type) -> Value? {
        count >= MemoryLayout<Value>.size ? loadUnaligned(as: Value.self) : nil
    }

    func bigEndian<Value: FixedWidthInteger & BitwiseCopyable>(_: Value.Type) -> Value? {
        native(Value.self).map(Value.init(bigEndian:))
    }

    /// The text up to the first zero byte; invalid UTF-8 becomes U+FFFD.
    var text: String {
        String(decoding: prefix { $0 != 0 }, as: UTF8.self)
    }
}
