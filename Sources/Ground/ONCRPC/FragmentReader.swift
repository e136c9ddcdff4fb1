/// Cuts a TCP stream into records (RFC 5531, 11) without storing them: their bytes are passed on as they arrive.
///
/// ```
/// header ──4 bytes──▶ fragment ──its bytes──▶ header
/// ```
/// Records may be of any length: a reader that keeps one must bound it by itself.
public struct FragmentReader: Sendable {
    private static let lastFragmentBit: UInt32 = 0x8000_0000

    private var header: UInt32 = 0
    private var headerBytes = 0
    private var fragmentLeft = 0

    public init() {}

    /// Takes the next bytes of the stream.
    ///
    /// - Parameter part: gets bytes of the current record, and whether they are its last. There may be no bytes.
    public mutating func feed(_ bytes: UnsafeRawBufferPointer, _ part: (UnsafeRawBufferPointer, _ isLast: Bool) -> Void)
    {
        var offset = 0
        while offset < bytes.count {
            if headerBytes < 4 {
                header = header << 8 | UInt32(bytes[offset])
                headerBytes += 1
                offset += 1
                guard headerBytes == 4 else { continue }
                fragmentLeft = Int(header & ~Self.lastFragmentBit)
            }
            let count = min(fragmentLeft, bytes.count - offset)
            fragmentLeft -= count
            let isDone = fragmentLeft == 0
            let isLast = isDone && header & Self.lastFragmentBit != 0
            if count > 0 || isLast {
                part(UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count]), isLast)
            }
            offset += count
            if isDone { headerBytes = 0 }
        }
    }
}
