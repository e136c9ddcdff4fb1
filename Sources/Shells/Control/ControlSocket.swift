import Glibc

/// The control socket can't be made.
public struct ControlServerError: Error, Hashable, Sendable, CustomStringConvertible {
    public var path: String
    public var detail: String

    public var description: String {
        "control: \"\(path)\": \(detail); the daemon must be able to make a socket there: name another place, or see who owns"
            + " its folder"
    }
}

/// The control socket, bound to its path; it takes connections once a ``ControlServer`` listens.
public struct ControlSocket: Sendable {
    public let path: String
    let descriptor: Int32

    /// Makes the socket, with mode 0660, in the place of one that nobody serves any more.
    public init(at path: String) throws(ControlServerError) {
        self.path = path
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        do throws(ControlServerError) {
            guard descriptor >= 0 else { throw Self.failure(path) }
            try Self.makeRoom(at: path)
            try bind()
            // Nobody connects before: it doesn't listen yet.
            guard chmod(path, 0o660) == 0 else { throw Self.failure(path) }
        } catch {
            if descriptor >= 0 { close(descriptor) }
            throw error
        }
    }

    private static func failure(_ path: String) -> ControlServerError {
        ControlServerError(path: path, detail: String(cString: strerror(errno)))
    }

    /// A daemon that was killed may hold it for a moment.
    private static let patience = (attempts: 100, pauseMicroseconds: UInt32(10_000))

    /// What is no socket stays; then bind says that the place is taken. So does one that another daemon serves.
    private static func makeRoom(at path: String) throws(ControlServerError) {
        var status = stat()
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return }
        for _ in 0..<patience.attempts {
            guard isServed(path) else {
                guard unlink(path) == 0 else { throw failure(path) }
                return
            }
            usleep(patience.pauseMicroseconds)
        }
    }

    private static func isServed(_ path: String) -> Bool {
        let probe = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard probe >= 0 else { return false }
        defer { close(probe) }
        // EAGAIN: it is, and busy.
        return apply(probe, path, Glibc.connect) == 0 || errno == EAGAIN
    }

    private func bind() throws(ControlServerError) {
        guard Self.apply(descriptor, path, Glibc.bind) == 0 else { throw Self.failure(path) }
    }

    private static func apply(
        _ descriptor: Int32, _ path: String, _ call: (Int32, UnsafePointer<sockaddr>?, socklen_t) -> Int32
    ) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                call(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}
