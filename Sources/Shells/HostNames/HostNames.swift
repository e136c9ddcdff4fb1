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

    /// Makes this process ask for every name as it is written: the search list of resolv.conf(5) isn't applied.
    ///
    /// With it, whoever answers for a domain of the list could answer for a name of another domain. Call it before
    /// there are threads, and before the first name is resolved.
    public static func neverSearch() { setenv("LOCALDOMAIN", "", 1) }

    /// The name's addresses; those of one family may stay unknown.
    public static func resolve(_ name: String) throws(Failure) -> HostAddresses {
        let found = try addresses(of: name, in: AF_UNSPEC)
        let hasIPv4 = found.contains(where: \.isIPv4)
        let hasBoth = hasIPv4 && !found.allSatisfy(\.isIPv4)
        // hosts(5) comes before the DNS, which then is not asked for the other family either.
        if hasBoth || found == HostsFile.addresses(of: name) { return HostAddresses(found) }
        // getaddrinfo(3) succeeds also if the name server failed for one of two families.
        do throws(Failure) {
            return HostAddresses(found.union(try addresses(of: name, in: hasIPv4 ? AF_INET6 : AF_INET)))
        } catch {
            let hasNone = rpcw_tells_absence(error.code)
            return HostAddresses(found, unknown: hasNone ? nil : hasIPv4 ? .ipv6 : .ipv4)
        }
    }

    /// The name's addresses as the resolver tells them in one answer, by its search list too.
    public static func search(for name: String) throws(Failure) -> HostAddresses {
        HostAddresses(try addresses(of: name, in: AF_UNSPEC))
    }

    private static func addresses(of name: String, in family: Int32) throws(Failure) -> Set<IPAddress> {
        var hints = addrinfo()
        hints.ai_family = family
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(name, nil, &hints, &list)
        guard code == 0 else { throw Failure(name: name, code: code) }
        defer { freeaddrinfo(list) }
        var addresses: Set<IPAddress> = []
        var next = list
        while let item = next {
            if let address = numeric(item.pointee) { addresses.insert(address) }
            next = item.pointee.ai_next
        }
        return addresses
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
