import Glibc

/// Reports a daemon's state to the service manager (sd_notify(3)); does nothing without one.
///
/// The socket is made once at the start, since the process can't make sockets later; it stays open until the
/// process ends.
public struct Notifier: Sendable {
    private let path: String?
    private let descriptor: Int32?

    public init() {
        path = getenv("NOTIFY_SOCKET").map { String(cString: $0) }.flatMap { $0.utf8.count > 1 ? $0 : nil }
        do { descriptor = path == nil ? nil : try UnixSocket.make(.datagram) } catch { descriptor = nil }
    }

    /// Whether the socket's address is abstract, without a place in the file system.
    public var isAbstract: Bool { path?.utf8.first == UInt8(ascii: "@") }

    public func notify(_ state: String) {
        guard let path, let descriptor else { return }
        do {
            try UnixSocket.send(Array(state.utf8), from: descriptor, to: path)
        } catch {
            // No process reads the socket.
        }
    }
}
