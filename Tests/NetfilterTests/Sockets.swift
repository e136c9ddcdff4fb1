import Glibc
import Portmapper

/// A socket for tests, closed with the object.
final class TestSocket {
    let descriptor: Int32

    /// Bound to the address and, over TCP, listening.
    init(_ service: ServicePort, _ address: String, v6Only: Bool = false, device: String? = nil) throws {
        let isIPv6 = address.contains(":")
        descriptor = Self.open(service.transport, isIPv6)
        var one: Int32 = 1
        var only: Int32 = v6Only ? 1 : 0
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, 4)
        if isIPv6 { setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &only, 4) }
        if let device { setsockopt(descriptor, SOL_SOCKET, SO_BINDTODEVICE, device, socklen_t(device.utf8.count)) }
        let bound = Self.withAddress(address, service.port) { bind(descriptor, $0, $1) }
        guard bound == 0, service.transport == .udp || listen(descriptor, 8) == 0 else {
            throw SocketError(errno: errno)
        }
    }

    /// Connected to the address, from `source` of all addresses if given.
    init(connectedTo service: ServicePort, _ address: String, from source: ServicePort? = nil) throws {
        descriptor = Self.open(service.transport, address.contains(":"))
        if let source, Self.withAddress("0.0.0.0", source.port, { bind(descriptor, $0, $1) }) != 0 {
            throw SocketError(errno: errno)
        }
        let connected = Self.withAddress(address, service.port) { connect(descriptor, $0, $1) }
        guard connected == 0 else { throw SocketError(errno: errno) }
    }

    deinit { close(descriptor) }

    func send(_ byte: UInt8) {
        var byte = byte
        Glibc.send(descriptor, &byte, 1, 0)
    }

    private static func open(_ transport: Transport, _ isIPv6: Bool) -> Int32 {
        let kind = transport == .tcp ? SOCK_STREAM : SOCK_DGRAM
        return socket(isIPv6 ? AF_INET6 : AF_INET, Int32(kind.rawValue), 0)
    }

    private static func withAddress(
        _ text: String, _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        var v6 = sockaddr_in6()
        var v4 = sockaddr_in()
        if inet_pton(AF_INET, text, &v4.sin_addr) == 1 {
            v4.sin_family = sa_family_t(AF_INET)
            v4.sin_port = port.bigEndian
            return withUnsafePointer(to: &v4) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
        inet_pton(AF_INET6, text, &v6.sin6_addr)
        v6.sin6_family = sa_family_t(AF_INET6)
        v6.sin6_port = port.bigEndian
        return withUnsafePointer(to: &v6) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in6>.size))
            }
        }
    }
}

struct SocketError: Error {
    let errno: Int32
}
