/// Why a stream can't be followed any further.
public enum RecordFault: Error, Hashable, Sendable {
    /// A record, or its announced fragment, exceeds the limit.
    case tooLong(bytes: Int, limit: Int)
    /// A record of empty fragments: their headers alone exceed the limit.
    case endless(limit: Int)
}

extension RecordFault: CustomStringConvertible {
    public var description: String {
        switch self {
        case .tooLong(let bytes, let limit): "a record of \(bytes) bytes exceeds the limit of \(limit)"
        case .endless(let limit): "a record whose empty fragments take more than \(limit) bytes"
        }
    }
}

/// Cuts a TCP stream into records (RFC 5531, 11).
///
/// ```
/// header ──4 bytes──▶ fragment ──its bytes──▶ header   (last fragment: a record is done)
///    └───────── limit exceeded ─────────▶ fault        (for good)
/// ```
public struct RecordReader: Sendable {
    private static let lastFragmentBit: UInt32 = 0x8000_0000
    private static let headerBytesMax = 4

    public let recordBytesMax: Int
    public private(set) var fault: RecordFault?
    private var header: UInt32 = 0
    private var headerBytes = 0
    private var fragmentLeft = 0
    private var hasFragment = false
    /// A fragment with content is limited by its content; for empty ones the headers count, so that they can't go
    /// on for ever.
    private var emptyBytes = 0
    private var record: [UInt8] = []

    public init(recordBytesMax: Int) {
        self.recordBytesMax = recordBytesMax
    }

    /// Whether a record has begun and is incomplete.
    public var isInsideRecord: Bool { headerBytes > 0 || hasFragment }

    /// Takes the next bytes of the stream; returns the records that they complete. After a fault it takes no bytes.
    public mutating func feed(_ bytes: UnsafeRawBufferPointer) -> [[UInt8]] {
        var records: [[UInt8]] = []
        var rest = bytes[...]
        while let record = takeRecord(from: &rest) { records.append(record) }
        return records
    }

    /// Takes the next bytes of the stream up to the end of a record, and returns it; `nil` if they complete no record.
    /// - Parameter rest: the bytes; those not taken remain in it.
    public mutating func takeRecord(from rest: inout UnsafeRawBufferPointer.SubSequence) -> [UInt8]? {
        while fault == nil, !rest.isEmpty {
            if headerBytes < Self.headerBytesMax {
                header = header << 8 | UInt32(rest.removeFirst())
                headerBytes += 1
                if headerBytes == Self.headerBytesMax { beginFragment() }
            } else {
                let part = rest.prefix(fragmentLeft)
                record.append(contentsOf: part)
                fragmentLeft -= part.count
                rest = rest.dropFirst(part.count)
            }
            if fault == nil, headerBytes == Self.headerBytesMax, fragmentLeft == 0, let done = endFragment() {
                return done
            }
        }
        return nil
    }

    private mutating func beginFragment() {
        fragmentLeft = Int(header & ~Self.lastFragmentBit)
        hasFragment = true
        if fragmentLeft == 0 { emptyBytes += Self.headerBytesMax }
        if record.count + fragmentLeft > recordBytesMax {
            fault = .tooLong(bytes: record.count + fragmentLeft, limit: recordBytesMax)
        } else if emptyBytes > recordBytesMax {
            fault = .endless(limit: recordBytesMax)
        }
    }

    private mutating func endFragment() -> [UInt8]? {
        headerBytes = 0
        defer { header = 0 }
        guard header & Self.lastFragmentBit != 0 else { return nil }
        defer {
            record = []
            emptyBytes = 0
            hasFragment = false
        }
        return record
    }

    /// The header of a record that is sent as one fragment.
    public static func header(forRecordBytes count: Int) -> UInt32 {
        lastFragmentBit | UInt32(count)
    }
}
