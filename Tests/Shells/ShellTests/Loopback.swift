import Glibc
import Testing

/// A socket connected to a port of 127.0.0.1; its reads time out after `patienceSeconds`.
func connected(
    to port: UInt16, _ type: __socket_type = SOCK_STREAM, patienceSeconds: Int, isCertain: Bool = true
) -> Int32 {
    let descriptor = socket(AF_INET, Int32(type.rawValue), 0)
    var patience = timeval(tv_sec: patienceSeconds, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    var to = sockaddr_in()
    to.sin_family = sa_family_t(AF_INET)
    to.sin_port = port.bigEndian
    to.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    let code = withUnsafePointer(to: &to) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }
    #expect(code == 0 || !isCertain)
    return descriptor
}
