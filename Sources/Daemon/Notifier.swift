import Glibc
import System

/// Tells the service manager how the daemon fares (sd_notify(3)); silent where nobody listens.
///
/// Its socket is made once, for later this process makes none; it stays open for as long as the process runs.
struct Notifier: Sendable {
    private let path: String?
    private let descriptor: Int32?

    init() {
        path = getenv("NOTIFY_SOCKET").map { String(cString: $0) }.flatMap { $0.utf8.count > 1 ? $0 : nil }
        do { descriptor = path == nil ? nil : try UnixSocket.make(.datagram) } catch { descriptor = nil }
    }

    /// It has no place in the file system.
    var isAbstract: Bool { path?.utf8.first == UInt8(ascii: "@") }

    func notify(_ state: String) {
        guard let path, let descriptor else { return }
        do {
            try UnixSocket.send(Array(state.utf8), from: descriptor, to: path)
        } catch {
            // Nobody listens.
        }
    }
}
