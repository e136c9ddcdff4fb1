import Addresses

/// The largest size of a prefix that stands for several clients.
public struct Aggregation: Hashable, Sendable {
    /// Prefix lengths; 32 and 128 let every address stand for itself.
    public var ipv4Length: Int
    public var ipv6Length: Int

    public static let none = Aggregation(ipv4Length: 32, ipv6Length: 128)

    public init(ipv4Length: Int, ipv6Length: Int) {
        self.ipv4Length = ipv4Length
        self.ipv6Length = ipv6Length
    }

    /// The narrowest prefixes that hold the addresses: one for all addresses within a prefix of the length
    /// allowed.
    ///
    /// An address that is alone in such a prefix stays alone.
    public func prefixes(holding addresses: some Collection<IPAddress>) -> [Prefix] {
        var spans: [Prefix: (first: IPAddress, last: IPAddress)] = [:]
        for address in addresses {
            guard let widest = Prefix(address, length: address.isIPv4 ? ipv4Length : ipv6Length) else { continue }
            let span = spans[widest] ?? (address, address)
            spans[widest] = (min(span.first, address), max(span.last, address))
        }
        return spans.values.map { Self.narrowest(holding: $0.first, $0.last) }.sorted()
    }

    private static func narrowest(holding first: IPAddress, _ last: IPAddress) -> Prefix {
        var length = first.isIPv4 ? 32 : 128
        while length > 0 {
            if let prefix = Prefix(first, length: length), prefix.range.contains(last) { return prefix }
            length -= 1
        }
        return Prefix(first, length: 0) ?? Prefix(first)
    }
}
