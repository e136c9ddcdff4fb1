import Glibc

/// Tells the service manager how the daemon fares (sd_notify(3)); silent where nobody listens.
///
/// Its socket is made once, for later this process makes none; it stays open for as long as the process runs.
struct Notifier: Sendable {
    private let path: String?
    private let descriptor: Int32

    init() {
        let path = getenv("NOTIFY_SOCKET").map { String(cString: $0) }.flatMap { $0.utf8.count > 1 ? $0 : nil }
        descriptor = path == nil ? -1 : socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        self.path = path
    }

    /// It has no place in the file system.
    var isAbstract: Bool { path?.utf8.first == UInt8(ascii: "@") }

    func notify(_ state: String) {
        guard let path, descriptor >= 0 else { return }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        // "@" stands for the abstract namespace's leading zero.
        let name = isAbstract ? [0] + Array(path.utf8.dropFirst()) : Array(path.utf8)
        guard name.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + name.count)
        let bytes = Array(state.utf8)
        withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = sendto(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL), $0, length)
            }
        }
    }
}
