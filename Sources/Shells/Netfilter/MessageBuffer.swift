import CNetfilter

/// Netlink messages, written one after the other into one buffer, which is reused.
///
/// begin ─▶ put…, nest… ─▶ end ─▶ begin …
struct MessageBuffer: ~Copyable {
    /// A larger buffer is released after use.
    private static let keptBytesMax = 1 << 20

    private(set) var count = 0
    private var storage: UnsafeMutableRawBufferPointer
    private var messageStart = 0

    init() {
        storage = .allocate(byteCount: 1 << 14, alignment: 16)
    }

    deinit {
        storage.deallocate()
    }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: storage[..<count]) }

    mutating func clear() {
        count = 0
        guard storage.count > Self.keptBytesMax else { return }
        storage.deallocate()
        storage = .allocate(byteCount: 1 << 14, alignment: 16)
    }

    mutating func begin(type: UInt16, flags: Int32, sequence: UInt32) {
        messageStart = count
        append(UInt32(0))
        append(type)
        append(UInt16(truncatingIfNeeded: NLM_F_REQUEST | flags))
        append(sequence)
        append(UInt32(0))
    }

    mutating func end() {
        storage.storeBytes(of: UInt32(count - messageStart), toByteOffset: messageStart, as: UInt32.self)
    }

    mutating func addFlags(_ flags: Int32, toMessageAt start: Int) {
        let offset = start + 6  // nlmsg_flags
        let old = storage.load(fromByteOffset: offset, as: UInt16.self)
        storage.storeBytes(of: old | UInt16(truncatingIfNeeded: flags), toByteOffset: offset, as: UInt16.self)
    }

    /// Lets a C library write one whole message of at most `bytesMax` bytes; it returns the message's length.
    mutating func write(bytesMax: Int, _ body: (UnsafeMutableRawPointer) -> Int) {
        reserve(bytesMax)
        guard let base = storage.baseAddress else { return }
        let written = body(base + count)
        precondition(written <= bytesMax, "a message of \(written) bytes in room for \(bytesMax)")
        count += written
        pad()
    }

    /// Appends a field of the message's fixed part, in host byte order.
    mutating func append<Value: BitwiseCopyable>(_ value: Value) {
        let size = MemoryLayout<Value>.size
        reserve(size)
        storage.storeBytes(of: value, toByteOffset: count, as: Value.self)
        count += size
    }

    mutating func put<Value: FixedWidthInteger & BitwiseCopyable>(_ attribute: UInt32, bigEndian value: Value) {
        header(attribute, length: MemoryLayout<Value>.size)
        append(value.bigEndian)
        pad()
    }

    mutating func put(_ attribute: UInt32, _ value: UnsafeRawBufferPointer) {
        header(attribute, length: value.count)
        append(value)
        pad()
    }

    /// Appends a string with its final zero.
    mutating func put(_ attribute: UInt32, _ text: String) {
        var text = text
        text.withUTF8 { utf8 in
            header(attribute, length: utf8.count + 1)
            append(UnsafeRawBufferPointer(utf8))
        }
        append(UInt8(0))
        pad()
    }

    /// Appends an attribute that holds attributes.
    mutating func nest(_ attribute: UInt32, _ body: (inout MessageBuffer) -> Void) {
        put(attribute | UInt32(NLA_F_NESTED), writing: body)
    }

    /// Appends an attribute; `body` appends its value, in multiples of 4 bytes.
    mutating func put(_ attribute: UInt32, writing body: (inout MessageBuffer) -> Void) {
        let start = count
        header(attribute, length: 0)
        body(&self)
        precondition(count - start <= UInt16.max, "an attribute's length has 16 bits")
        storage.storeBytes(of: UInt16(count - start), toByteOffset: start, as: UInt16.self)
    }

    mutating func append(_ value: UnsafeRawBufferPointer) {
        reserve(value.count)
        UnsafeMutableRawBufferPointer(rebasing: storage[count...]).copyMemory(from: value)
        count += value.count
    }

    private mutating func header(_ attribute: UInt32, length: Int) {
        precondition(length + 4 <= UInt16.max, "an attribute's length has 16 bits")
        append(UInt16(length + 4))
        append(UInt16(attribute))
    }

    private mutating func pad() {
        while count & 3 != 0 { append(UInt8(0)) }
    }

    private mutating func reserve(_ more: Int) {
        guard count + more > storage.count else { return }
        let larger = UnsafeMutableRawBufferPointer.allocate(
            byteCount: max(storage.count * 2, count + more), alignment: 16)
        larger.copyMemory(from: bytes)
        storage.deallocate()
        storage = larger
    }
}

extension MessageBuffer {
    /// Begins a message of nfnetlink: its header holds the address family.
    mutating func beginNetfilter(
        subsystem: Int32, message: UInt32, flags: Int32, family: UInt8, resource: UInt16 = 0, sequence: UInt32
    ) {
        begin(type: UInt16(subsystem) << 8 | UInt16(message), flags: flags, sequence: sequence)
        append(nfgenmsg(nfgen_family: family, version: UInt8(NFNETLINK_V0), res_id: resource.bigEndian))
    }
}
