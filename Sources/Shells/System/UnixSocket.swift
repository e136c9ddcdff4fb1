import Glibc

/// Unix sockets with a path (unix(7)).
public enum UnixSocket {
    public enum Kind: Sendable {
        case stream, datagram

        fileprivate var number: UInt32 { self == .stream ? SOCK_STREAM.rawValue : SOCK_DGRAM.rawValue }
    }

    /// The longest path, in bytes.
    public static let pathBytesMax = 107

    /// A new socket, closed on exec.
    public static func make(_ kind: Kind, waits: Bool = true) throws(Errno) -> Int32 {
        let flags = SOCK_CLOEXEC.rawValue | (waits ? 0 : SOCK_NONBLOCK.rawValue)
        let descriptor = socket(AF_UNIX, Int32(kind.number | flags), 0)
        guard descriptor >= 0 else { throw Errno() }
        return descriptor
    }

    /// A stream connected to the path.
    ///
    /// - Parameters:
    ///   - waits: whether to wait for room in the listener's queue, and later for each byte. Otherwise a full
    ///     queue throws EAGAIN.
    ///   - patience: time limit for each call on the stream; `nil`: none.
    public static func stream(
        to path: String, waits: Bool = true, patience: Duration? = nil
    ) throws(Errno) -> Int32 {
        let descriptor = try make(.stream, waits: waits)
        if let patience { limit(descriptor, to: patience) }
        do throws(Errno) {
            try connect(descriptor, to: path)
            return descriptor
        } catch {
            close(descriptor)
            throw error
        }
    }

    private static func limit(_ descriptor: Int32, to patience: Duration) {
        let (seconds, attoseconds) = patience.components
        var limit = timeval(tv_sec: Int(seconds), tv_usec: Int(attoseconds / 1_000_000_000_000))
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
    }

    public static func connect(_ descriptor: Int32, to path: String) throws(Errno) {
        try withAddress(path) { Glibc.connect(descriptor, $0, $1) }
    }

    public static func bind(_ descriptor: Int32, to path: String) throws(Errno) {
        try withAddress(path) { Glibc.bind(descriptor, $0, $1) }
    }

    /// Sends a datagram. A path that begins with `@` is a name of the abstract namespace.
    ///
    /// - Parameter waits: whether to wait for room in the receiver's queue; otherwise a full queue throws EAGAIN.
    public static func send(
        _ bytes: [UInt8], from descriptor: Int32, to path: String, waits: Bool
    ) throws(Errno) {
        let flags = Int32(MSG_NOSIGNAL) | (waits ? 0 : Int32(MSG_DONTWAIT))
        try withAddress(path) { sendto(descriptor, bytes, bytes.count, flags, $0, $1) < 0 ? -1 : 0 }
    }

    private static func withAddress(
        _ path: String, _ call: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) throws(Errno) {
        // A zero in place of the first byte means the abstract namespace.
        let isAbstract = path.utf8.first == UInt8(ascii: "@")
        let name = isAbstract ? [0] + Array(path.utf8.dropFirst()) : Array(path.utf8)
        guard name.count <= pathBytesMax else { throw Errno(ENAMETOOLONG) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
        // An abstract name ends with the address, a path ends with a zero.
        let length = MemoryLayout<sa_family_t>.size + name.count + (isAbstract ? 0 : 1)
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { call($0, socklen_t(length)) }
        }
        guard result == 0 else { throw Errno() }
    }
}
