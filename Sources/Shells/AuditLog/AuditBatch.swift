/// Messages in the order of their events: JSON lines, or datagrams for the journal; with the position up to which
/// they are written.
struct AuditBatch {
    private var bytes: [UInt8] = []
    /// The end offset of each message.
    private var ends: [Int] = []
    private var messagesWritten = 0
    private var bytesWritten = 0

    var isWritten: Bool { messagesWritten == ends.count }
    var messagesLeft: Int { ends.count - messagesWritten }
    var bytesLeft: Int { bytes.count - bytesWritten }

    /// Bytes left of the current message.
    var messageBytesLeft: Int { isWritten ? 0 : ends[messagesWritten] - bytesWritten }
    /// Bytes written of the current message.
    var messageBytesWritten: Int { bytesWritten - (messagesWritten == 0 ? 0 : ends[messagesWritten - 1]) }

    mutating func append(_ message: [UInt8]) {
        bytes += message
        ends.append(bytes.count)
    }

    mutating func wrote(_ count: Int) {
        bytesWritten += count
        while !isWritten, ends[messagesWritten] <= bytesWritten { messagesWritten += 1 }
    }

    /// Starts the current message again, since a new file needs it whole.
    mutating func restartMessage() { bytesWritten -= messageBytesWritten }

    /// The length of as many whole messages as fit; if even one doesn't fit, `limit`.
    func length(fittingIn limit: Int) -> Int {
        guard bytesLeft > limit else { return bytesLeft }
        let end = ends[messagesWritten...].prefix { $0 - bytesWritten <= limit }.last
        return end.map { $0 - bytesWritten } ?? limit
    }

    func withBytesLeft<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        bytes.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[bytesWritten...])) }
    }
}
