import NIOCore
import ONCRPC

/// Encodes replies as records; a listing sent to many clients is held in memory once.
struct ReplyRecords {
    /// From this size on results are shared, not copied.
    static let sharedBytesMin = 2048
    /// Several listings are kept, since they differ by client and version.
    static let sharedMax = 8

    private var encoder = XDREncoder(reserving: 512)
    private var shared: [(results: [UInt8], buffer: ByteBuffer)] = []
    private let allocator = ByteBufferAllocator()

    /// The record, as buffers to write one after the other.
    mutating func buffers(for reply: Reply) -> (first: ByteBuffer, rest: ByteBuffer?) {
        encoder.clear()
        guard case .success(let results) = reply.body, results.count >= Self.sharedBytesMin else {
            reply.encode(into: &encoder)
            return (headed(byteCount: encoder.bytes.count), nil)
        }
        Reply(xid: reply.xid, body: .success([])).encode(into: &encoder)
        return (headed(byteCount: encoder.bytes.count + results.count), buffer(of: results))
    }

    private func headed(byteCount: Int) -> ByteBuffer {
        var buffer = allocator.buffer(capacity: encoder.bytes.count + 4)
        buffer.writeInteger(RecordReader.header(forRecordBytes: byteCount))
        buffer.writeBytes(encoder.bytes)
        return buffer
    }

    private mutating func buffer(of results: [UInt8]) -> ByteBuffer {
        if let known = shared.first(where: { $0.results.isIdentical(to: results) }) { return known.buffer }
        if shared.count == Self.sharedMax { shared.removeFirst() }
        let buffer = allocator.buffer(bytes: results)
        shared.append((results, buffer))
        return buffer
    }
}

extension [UInt8] {
    /// Whether both arrays share the same memory.
    fileprivate func isIdentical(to other: Self) -> Bool {
        withUnsafeBufferPointer { bytes in
            other.withUnsafeBufferPointer { $0.baseAddress == bytes.baseAddress && $0.count == bytes.count }
        }
    }
}
