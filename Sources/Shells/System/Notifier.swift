import Glibc

/// Reports a daemon's state to the service manager (sd_notify(3)); does nothing without one.
///
/// The socket is made once at the start, since the process can't make sockets later; it stays open until the
/// process ends.
public struct Notifier: Sendable {
    private let path: String?
    private let descriptor: Int32?

    public init() { self.init(to: getenv("NOTIFY_SOCKET").map { String(cString: $0) }) }

    init(to place: String?) {
        path = place.flatMap { $0.utf8.count > 1 ? $0 : nil }
        do { descriptor = path == nil ? nil : try UnixSocket.make(.datagram) } catch { descriptor = nil }
    }

    /// Whether the socket's address is abstract, without a place in the file system.
    public var isAbstract: Bool { path?.utf8.first == UInt8(ascii: "@") }

    /// - Parameter waits: whether to wait for room in the service manager's socket. An event loop must not.
    /// - Returns: `false` if there is no room.
    @discardableResult
    public func notify(_ state: String, waits: Bool = false) -> Bool {
        guard let path, let descriptor else { return true }
        do throws(Errno) {
            try UnixSocket.send(Array(state.utf8), from: descriptor, to: path, waits: waits)
            return true
        } catch {
            // Otherwise no process reads the socket.
            return error.code != EAGAIN
        }
    }
}
