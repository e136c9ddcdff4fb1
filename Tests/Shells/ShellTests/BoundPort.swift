import Glibc
import Testing

/// Ports of 127.0.0.1 that are taken, so that no other process listens at them.
enum BoundPort {
    /// A UDP port whose socket takes datagrams of one other port only: the kernel refuses all others.
    static func withDeafDatagramSocket(_ body: (_ port: UInt16) throws -> Void) throws {
        try withBound(SOCK_DGRAM) { port, descriptor in
            connect(descriptor, to: 9)
            try body(port)
        }
    }

    static func withBound(
        _ type: __socket_type = SOCK_STREAM, _ body: (_ port: UInt16, _ descriptor: Int32) throws -> Void
    ) throws {
        let descriptor = socket(AF_INET, Int32(type.rawValue), 0)
        defer { close(descriptor) }
        var address = loopback(0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                #expect(bind(descriptor, $0, length) == 0)
                #expect(getsockname(descriptor, $0, &length) == 0)
            }
        }
        try body(UInt16(bigEndian: address.sin_port), descriptor)
    }

    /// Begins a connection, without waiting for it if the socket doesn't block.
    static func connect(_ descriptor: Int32, to port: UInt16) {
        var address = loopback(port)
        withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    private static func loopback(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        return address
    }
}
