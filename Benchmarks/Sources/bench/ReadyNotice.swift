import Foundation

/// The socket that a service manager listens at: sd_notify(3).
///
/// Read by a thread of its own: whoever starts the daemon may be told of its start later than it is ready.
final class ReadyNotice: @unchecked Sendable {
    let path: String
    private let descriptor: Int32
    /// Orders the thread's write of `moment` before its reading.
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

    /// When READY=1 came; `nil`: it never did.
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
