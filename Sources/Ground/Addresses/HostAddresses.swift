/// The addresses of a host name, as far as a resolver told them.
public struct HostAddresses: Hashable, Sendable {
    public enum Family: UInt32, Sendable, CustomStringConvertible {
        case ipv4 = 4
        case ipv6 = 6

        public func contains(_ address: IPAddress) -> Bool { address.isIPv4 == (self == .ipv4) }

        public var description: String { "IPv\(rawValue)" }
    }

    /// Enough for a host; services with hundreds of addresses are not what a policy names.
    public static let countMax = 64

    /// IPv4 and IPv6, in ascending order, each once; at most ``countMax``.
    public let known: [IPAddress]
    /// The family that the resolver failed for: the name may have addresses of it.
    public let unknown: Family?
    /// Whether the name has more than ``countMax`` addresses.
    public let isCut: Bool

    public init(_ addresses: some Sequence<IPAddress>, unknown: Family? = nil, isCut: Bool = false) {
        let all = Set(addresses).sorted()
        known = Array(all.prefix(Self.countMax))
        self.unknown = unknown
        self.isCut = isCut || all.count > Self.countMax
    }

    /// Whether the name has no other addresses.
    public var isWhole: Bool { unknown == nil && !isCut }

    /// The same, with an earlier answer's addresses of the unknown family.
    public func filled(from earlier: HostAddresses?) -> HostAddresses {
        guard let unknown, let earlier, earlier.unknown != unknown else { return self }
        return HostAddresses(known + earlier.known.filter(unknown.contains), isCut: isCut || earlier.isCut)
    }
}

extension HostAddresses: ExpressibleByArrayLiteral {
    public init(arrayLiteral addresses: IPAddress...) { self.init(addresses) }
}
