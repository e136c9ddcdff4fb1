import Foundation

/// The socket at which a service manager listens: sd_notify(3).
///
/// It is read by a separate thread: the caller that starts the daemon may return from the start after the daemon
/// is ready.
final class ReadyNotice: @unchecked Sendable {
    let path: String
    private let descriptor: Int32
    /// Orders the thread's write of `moment` before the read of it.
    private let ended = DispatchSemaphore(value: 0)
    private var moment: Date?

    init(_ path: String) {
        self.path = path
        unlink(path)
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
        _ = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        chmod(path, 0o777)
        var wait = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &wait, socklen_t(MemoryLayout<timeval>.size))
        Thread.detachNewThread { [self] in
            moment = receive()
            ended.signal()
        }
    }

    /// The time at which READY=1 came; `nil` if it never came.
    func awaitReady() -> Date? {
        ended.wait()
        return moment
    }

    private func receive() -> Date? {
        var bytes = [UInt8](repeating: 0, count: 512)
        while true {
            let count = recv(descriptor, &bytes, bytes.count, 0)
            guard count > 0 else { return nil }
            if String(decoding: bytes.prefix(count), as: UTF8.self).contains("READY=1") { return Date() }
        }
    }

    func close() {
        Glibc.close(descriptor)
        unlink(path)
    }
}
