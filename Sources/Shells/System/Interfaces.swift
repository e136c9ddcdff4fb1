import Glibc

/// The network interfaces of this process's network namespace (getifaddrs(3)).
public enum Interfaces {
    /// The addresses of all interfaces, in network byte order: 4 bytes of IPv4, 16 bytes of IPv6.
    public static func addresses() throws(Errno) -> [[UInt8]] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { throw Errno() }
        defer { freeifaddrs(list) }
        var addresses: [[UInt8]] = []
        var next = list
        while let interface = next {
            if let address = interface.pointee.ifa_addr { addresses += bytes(of: address).map { [$0] } ?? [] }
            next = interface.pointee.ifa_next
        }
        return addresses
    }

    private static func bytes(of address: UnsafePointer<sockaddr>) -> [UInt8]? {
        switch Int32(address.pointee.sa_family) {
        case AF_INET:
            address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { address in
                withUnsafeBytes(of: address.pointee.sin_addr) { Array($0) }
            }
        case AF_INET6:
            address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { address in
                withUnsafeBytes(of: address.pointee.sin6_addr) { Array($0) }
            }
        default: nil
        }
    }
}
