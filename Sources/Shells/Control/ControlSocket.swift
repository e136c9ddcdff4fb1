import Glibc
import System

/// An error making the control socket.
public struct ControlServerError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The key of the configuration.
    public var setting: String
    public var path: String
    public var detail: String

    public var description: String {
        let advice =
            detail == "\(Errno(EADDRINUSE))"
            ? "a process serves it, or it is no socket: end or remove it, or name another place"
            : "the daemon must be able to make a socket there: name another place, or see who owns its folder"
        return "\(setting): \"\(path)\": \(detail); \(advice)"
    }
}

/// The control socket, bound to its path; it accepts connections once a ``ControlServer`` listens.
public struct ControlSocket: Sendable {
    public let path: String
    public let descriptor: Int32

    /// Makes the socket, with mode 0660; replaces one that no process serves any more.
    ///
    /// - Parameters:
    ///   - setting: the key of the configuration that names it.
    ///   - owner: its user and group; `nil`: those of this process.
    public init(
        at path: String, setting: String = "control", owner: (user: uid_t, group: gid_t)? = nil
    ) throws(ControlServerError) {
        self.path = path
        do throws(Errno) {
            descriptor = try UnixSocket.make(.stream)
            do throws(Errno) {
                try Self.makeRoom(at: path)
                try UnixSocket.bind(descriptor, to: path)
                // No client can connect before this: the socket doesn't listen yet.
                guard chmod(path, 0o660) == 0 else { throw Errno() }
                if let owner { guard chown(path, owner.user, owner.group) == 0 else { throw Errno() } }
            } catch {
                close(descriptor)
                throw error
            }
        } catch {
            throw ControlServerError(setting: setting, path: path, detail: "\(error)")
        }
    }

    /// A killed daemon may hold the socket for a moment.
    private static let patience = (attempts: 100, pauseMicroseconds: UInt32(10_000))

    /// Removes a socket that no process serves. A file that is no socket stays, and so does a served socket; then
    /// bind fails, since the path is taken.
    private static func makeRoom(at path: String) throws(Errno) {
        var status = stat()
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return }
        for _ in 0..<patience.attempts {
            guard isServed(path) else {
                guard unlink(path) == 0 else { throw Errno() }
                return
            }
            usleep(patience.pauseMicroseconds)
        }
    }

    private static func isServed(_ path: String) -> Bool {
        do throws(Errno) {
            close(try UnixSocket.stream(to: path, waits: false))
            return true
        } catch {
            // EAGAIN: the socket is served, and its queue is full.
            return error.code == EAGAIN
        }
    }
}
