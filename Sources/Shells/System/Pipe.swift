import Glibc

/// The two ends of a pipe, closed on exec; the caller that made the pipe closes them.
public struct Pipe: Sendable {
    public let readEnd: Int32
    public let writeEnd: Int32

    /// - Parameter waits: reads and writes wait for the other end.
    public init(waits: Bool = true) throws(Errno) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw Errno() }
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            if !waits { _ = fcntl(end, F_SETFL, O_NONBLOCK) }
        }
        (readEnd, writeEnd) = (ends[0], ends[1])
    }

    public func close() {
        Glibc.close(readEnd)
        Glibc.close(writeEnd)
    }
}
