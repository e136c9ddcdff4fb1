/// Messages in the order of their events: JSON lines, or datagrams for the journal; and how far they are written.
struct AuditBatch {
    private var bytes: [UInt8] = []
    /// Where each message ends.
    private var ends: [Int] = []
    private var messagesWritten = 0
    private var bytesWritten = 0

    var isWritten: Bool { messagesWritten == ends.count }
    var messagesLeft: Int { ends.count - messagesWritten }
    var bytesLeft: Int { bytes.count - bytesWritten }

    /// What is left of the message under way.
    var messageBytesLeft: Int { isWritten ? 0 : ends[messagesWritten] - bytesWritten }
    /// What is written of it.
    var messageBytesWritten: Int { bytesWritten - (messagesWritten == 0 ? 0 : ends[messagesWritten - 1]) }

    mutating func append(_ message: [UInt8]) {
        bytes += message
        ends.append(bytes.count)
    }

    mutating func wrote(_ count: Int) {
        bytesWritten += count
        while !isWritten, ends[messagesWritten] <= bytesWritten { messagesWritten += 1 }
    }

    /// The message under way is written again from its start, as another file will need it.
    mutating func restartMessage() { bytesWritten -= messageBytesWritten }

    /// As many whole messages as fit; of one that is longer, what fits.
    func length(fittingIn limit: Int) -> Int {
        guard bytesLeft > limit else { return bytesLeft }
        let end = ends[messagesWritten...].prefix { $0 - bytesWritten <= limit }.last
        return end.map { $0 - bytesWritten } ?? limit
    }

    func withBytesLeft<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        bytes.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[bytesWritten...])) }
    }
}
