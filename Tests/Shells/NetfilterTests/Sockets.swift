import Addresses
import Glibc

/// A socket for tests, closed with the object.
final class TestSocket {
    let descriptor: Int32

    /// A socket bound to the address and, over TCP, listening.
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

    /// A socket connected to the address, from `source`, if given, at any address; or still connecting if `waits`
    /// is false.
    init(
        connectedTo service: ServicePort, _ address: String, from source: ServicePort? = nil,
        fromAddress: String? = nil, waits: Bool = true
    ) throws {
        descriptor = Self.open(service.transport, address.contains(":"))
        if !waits { _ = fcntl(descriptor, F_SETFL, O_NONBLOCK) }
        if source != nil || fromAddress != nil {
            var one: Int32 = 1
            setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, 4)
            let bound = Self.withAddress(fromAddress ?? "0.0.0.0", source?.port ?? 0) { bind(descriptor, $0, $1) }
            guard bound == 0 else { throw SocketError(errno: errno) }
        }
        let connected = Self.withAddress(address, service.port) { connect(descriptor, $0, $1) }
        guard connected == 0 || (!waits && errno == EINPROGRESS) else { throw SocketError(errno: errno) }
    }

    /// A socket that sends with any source address.
    init(forging source: String, port: UInt16 = 0, to service: ServicePort, _ address: String) throws {
        let isIPv6 = address.contains(":")
        descriptor = Self.open(service.transport, isIPv6)
        var one: Int32 = 1
        let (level, option): (Int32, Int32) =
            isIPv6 ? (Int32(IPPROTO_IPV6), 75) : (Int32(IPPROTO_IP), 19)  // IPV6_, IP_TRANSPARENT
        guard setsockopt(descriptor, level, option, &one, 4) == 0,
            Self.withAddress(source, port, { bind(descriptor, $0, $1) }) == 0,
            Self.withAddress(address, service.port, { connect(descriptor, $0, $1) }) == 0
        else { throw SocketError(errno: errno) }
    }

    /// Whether the socket is connected within the time; a refusal is not a connection.
    func connects(within seconds: Int32) -> Bool {
        var poll = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        return Glibc.poll(&poll, 1, seconds * 1000) == 1 && poll.revents == Int16(POLLOUT)
    }

    /// Reads all waiting datagrams; returns their number.
    func receiveAll() -> Int {
        var byte: UInt8 = 0
        var count = 0
        while recv(descriptor, &byte, 1, Int32(MSG_DONTWAIT)) >= 0 { count += 1 }
        return count
    }

    deinit { close(descriptor) }

    /// Waits for `count` datagrams, at most ten seconds for each; returns the number received. On a busy machine the
    /// kernel delivers between network namespaces when it finds the time.
    func receive(_ count: Int) -> Int {
        var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        var received = receiveAll()
        while received < count, Glibc.poll(&poll, 1, 10_000) == 1 { received += receiveAll() }
        return received
    }

    /// Prevents losses from a full receive buffer.
    func growReceiveBuffer() {
        var bytes: Int32 = 1 << 27
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, 4)
    }

    /// The local port.
    var port: UInt16 {
        var address = sockaddr_in6()
        var size = socklen_t(MemoryLayout<sockaddr_in6>.size)
        _ = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) }
        }
        return UInt16(bigEndian: address.sin6_port)
    }

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
