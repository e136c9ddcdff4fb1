import Addresses
import CHostNames
import Glibc

/// Resolves host names as the system does (nsswitch.conf). It blocks, so never call it on an event loop.
public enum HostNames {
    /// A name that can't be resolved, with the resolver's error.
    public struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        public var name: String
        /// An error of getaddrinfo(3), EAI_….
        public var code: Int32

        public init(name: String, code: Int32) { (self.name, self.code) = (name, code) }

        public var description: String { "can't resolve \"\(name)\": \(String(cString: gai_strerror(code)))" }
    }

    /// Enough for hosts; services with hundreds of addresses are not what a policy names.
    public static let addressesMax = 64

    /// The name's addresses, IPv4 and IPv6, in ascending order, each once.
    public static func resolve(_ name: String) throws(Failure) -> [IPAddress] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(name, nil, &hints, &list)
        guard code == 0 else { throw Failure(name: name, code: code) }
        defer { freeaddrinfo(list) }
        var addresses: Set<IPAddress> = []
        var next = list
        while let item = next, addresses.count < addressesMax {
            if let address = numeric(item.pointee) { addresses.insert(address) }
            next = item.pointee.ai_next
        }
        return addresses.sorted()
    }

    /// How long the name's addresses may be used before they are resolved again.
    public static func lifetime(of name: String) -> Duration {
        let seconds = rpcw_name_ttl(name)
        return seconds == 0 ? lifetimeUnknown : bounded(.seconds(seconds))
    }

    /// The lifetime within rpcwarden's bounds.
    public static func bounded(_ lifetime: Duration) -> Duration { min(max(lifetime, lifetimeMin), lifetimeMax) }

    /// The lifetime of names without a TTL, such as those in /etc/hosts.
    public static let lifetimeUnknown: Duration = .seconds(60)
    /// Shorter TTLs serve load balancing; here each change of addresses is a change of policy.
    public static let lifetimeMin: Duration = .seconds(10)
    public static let lifetimeMax: Duration = .seconds(3600)

    private static func numeric(_ item: addrinfo) -> IPAddress? {
        let bytes = UnsafeRawBufferPointer(start: item.ai_addr, count: Int(item.ai_addrlen))
        switch item.ai_family {
        case AF_INET: return IPAddress(networkBytes: bytes[4..<8])  // sockaddr_in: family, port, address
        case AF_INET6: return IPAddress(networkBytes: bytes[8..<24])  // sockaddr_in6: family, port, flow, address
        default: return nil
        }
    }
}
