/// Why a stream can't be followed any further.
public enum RecordFault: Error, Hashable, Sendable {
    /// A record, or the fragment that is announced, exceeds the limit.
    case tooLong(bytes: Int, limit: Int)
    case tooManyFragments(limit: Int)
}

extension RecordFault: CustomStringConvertible {
    public var description: String {
        switch self {
        case .tooLong(let bytes, let limit): "a record of \(bytes) bytes exceeds the limit of \(limit)"
        case .tooManyFragments(let limit): "a record of more than \(limit) fragments"
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
    /// More fragments than this are no use to any client: a call fits into one.
    public static let fragmentsMax = 32

    private static let lastFragmentBit: UInt32 = 0x8000_0000

    public let recordBytesMax: Int
    public private(set) var fault: RecordFault?
    private var header: UInt32 = 0
    private var headerBytes = 0
    private var fragmentLeft = 0
    private var fragments = 0
    private var record: [UInt8] = []

    public init(recordBytesMax: Int) {
        self.recordBytesMax = recordBytesMax
    }

    /// A record has begun and is not yet complete.
    public var isInsideRecord: Bool { headerBytes > 0 || fragments > 0 }

    /// Takes the next bytes of the stream; returns the records that they complete. After a fault it takes none.
    public mutating func feed(_ bytes: UnsafeRawBufferPointer) -> [[UInt8]] {
        var records: [[UInt8]] = []
        var rest = bytes[...]
        while fault == nil, !rest.isEmpty {
            if headerBytes < 4 {
                header = header << 8 | UInt32(rest.removeFirst())
                headerBytes += 1
                if headerBytes == 4 { beginFragment() }
            } else {
                let part = rest.prefix(fragmentLeft)
                record.append(contentsOf: part)
                fragmentLeft -= part.count
                rest = rest.dropFirst(part.count)
            }
            if fault == nil, headerBytes == 4, fragmentLeft == 0, let done = endFragment() { records.append(done) }
        }
        return records
    }

    private mutating func beginFragment() {
        fragmentLeft = Int(header & ~Self.lastFragmentBit)
        fragments += 1
        if record.count + fragmentLeft > recordBytesMax {
            fault = .tooLong(bytes: record.count + fragmentLeft, limit: recordBytesMax)
        } else if fragments > Self.fragmentsMax {
            fault = .tooManyFragments(limit: Self.fragmentsMax)
        }
    }

    private mutating func endFragment() -> [UInt8]? {
        headerBytes = 0
        defer { header = 0 }
        guard header & Self.lastFragmentBit != 0 else { return nil }
        defer {
            record = []
            fragments = 0
        }
        return record
    }

    /// The header for a record that is sent as one fragment.
    public static func header(forRecordBytes count: Int) -> UInt32 {
        lastFragmentBit | UInt32(count)
    }
}
