/// The reason why the kernel refused a transaction; nothing of it was done.
public struct CommitFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// The kernel's errno.
    public var errno: Int32
    /// errno's text, and the kernel's extended-ack text if it gave one.
    public var message: String
    /// The operation that the kernel refused, if it named one: an index into the transaction.
    public var operation: Int?

    public init(errno: Int32, message: String, operation: Int? = nil) {
        self.errno = errno
        self.message = message
        self.operation = operation
    }

    public var description: String { message }
}

extension CommitFailure {
    /// The failure's meaning for the next step.
    public enum Kind: Hashable, Sendable {
        /// The set holds as many elements as it may.
        case full
        /// A momentary conflict: worth an immediate repetition.
        case busy
        case other
    }

    public var kind: Kind {
        switch errno {
        case Self.fileTableOverflow, Self.noSpace: .full
        case Self.interrupted, Self.tryAgain, Self.deviceBusy, Self.restart, Self.noBuffers: .busy
        default: .other
        }
    }

    // Linux's asm-generic/errno.h; this target imports no C library.
    private static let interrupted: Int32 = 4  // EINTR
    private static let tryAgain: Int32 = 11  // EAGAIN
    private static let deviceBusy: Int32 = 16  // EBUSY
    private static let fileTableOverflow: Int32 = 23  // ENFILE: nftables' error for a full set
    private static let noSpace: Int32 = 28  // ENOSPC
    private static let restart: Int32 = 85  // ERESTART
    private static let noBuffers: Int32 = 105  // ENOBUFS
}
