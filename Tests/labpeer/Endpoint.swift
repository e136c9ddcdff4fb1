import Addresses
import Glibc

/// An address and a port, convertible to and from socket addresses.
struct Endpoint: Hashable, Sendable, CustomStringConvertible {
    var address: IPAddress
    var port: UInt16
    /// The interface's index, for link-local and multicast addresses.
    var interface: UInt32

    init(_ address: IPAddress, _ port: UInt16, interface: UInt32 = 0) {
        self.address = address
        self.port = port
        self.interface = interface
    }

    init(_ storage: sockaddr_storage) {
        let isIPv4 = Int32(storage.ss_family) == AF_INET
        self = withUnsafeBytes(of: storage) { bytes in
            if isIPv4 {
                let raw = bytes.loadUnaligned(as: sockaddr_in.self)
                return Endpoint(.v4(UInt32(bigEndian: raw.sin_addr.s_addr)), UInt16(bigEndian: raw.sin_port))
            }
            var raw = bytes.loadUnaligned(as: sockaddr_in6.self)
            let bits = withUnsafeBytes(of: &raw.sin6_addr) { UInt128(bigEndian: $0.loadUnaligned(as: UInt128.self)) }
            return Endpoint(
                IPAddress(v6Bits: bits), UInt16(bigEndian: raw.sin6_port), interface: raw.sin6_scope_id)
        }
    }

    func withSocketAddress<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        switch address {
        case .v4(let bits):
            var raw = sockaddr_in()
            raw.sin_family = sa_family_t(AF_INET)
            raw.sin_port = port.bigEndian
            raw.sin_addr.s_addr = bits.bigEndian
            return rebound(&raw, body)
        case .v6:
            var raw = sockaddr_in6()
            raw.sin6_family = sa_family_t(AF_INET6)
            raw.sin6_port = port.bigEndian
            raw.sin6_scope_id = interface
            withUnsafeMutableBytes(of: &raw.sin6_addr) { $0.copyBytes(from: address.networkBytes) }
            return rebound(&raw, body)
        }
    }

    private func rebound<Raw, Result>(
        _ raw: inout Raw, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        withUnsafePointer(to: &raw) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<Raw>.size)) }
        }
    }

    var description: String { address.isIPv4 ? "\(address):\(port)" : "[\(address)]:\(port)" }
}

/// The index of the interface; 0 if there is no such interface.
func interfaceIndex(_ name: String) -> UInt32 { if_nametoindex(name) }
