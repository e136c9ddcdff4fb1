import Addresses
import Firewall

/// The elements for addresses that lie in no prefix of policy: the addresses of its host names, as the other
/// process reports them.
///
/// They are counted by address, in all: one host name must not suffice to open any port to any address, one
/// element at a time. An address counts until the last of its elements is removed, or the kernel is found not to
/// hold it any more.
public struct OutsideElements: Hashable, Sendable {
    private var granted: [IPAddress: Set<ServicePort>] = [:]
    /// The standing elements, each with its addresses that lie outside.
    private var standing: [StandingKey: [IPAddress]] = [:]
    /// The number of elements of each address.
    private var counts: [IPAddress: Int] = [:]

    public init() {}

    public var addressCount: Int { counts.count }

    /// The grants that the kernel may have let expire.
    public var grants: [GrantKey] {
        granted.flatMap { client, services in services.map { GrantKey(client: client, service: $0) } }
    }

    var ranges: some Collection<StandingKey> { standing.keys }

    mutating func grant(_ key: GrantKey) {
        if granted[key.client, default: []].insert(key.service).inserted { counts[key.client, default: 0] += 1 }
    }

    mutating func addStanding(_ key: StandingKey, _ addresses: [IPAddress]) {
        guard standing.updateValue(addresses, forKey: key) == nil else { return }
        for address in addresses { counts[address, default: 0] += 1 }
    }

    mutating func revoke(_ key: GrantKey) {
        // Checked first: changing a missing entry would copy the whole dictionary.
        guard granted[key.client]?.contains(key.service) == true else { return }
        granted[key.client]?.remove(key.service)
        if granted[key.client]?.isEmpty == true { granted[key.client] = nil }
        leave(key.client)
    }

    mutating func removeStanding(_ key: StandingKey) {
        guard let addresses = standing[key] else { return }
        standing[key] = nil
        for address in addresses { leave(address) }
    }

    mutating func unstandAll() {
        for key in standing.keys { removeStanding(key) }
    }

    /// Keeps only the grants that the kernel still holds.
    public mutating func keep(_ isHeld: (GrantKey) -> Bool) {
        for key in grants where !isHeld(key) { revoke(key) }
    }

    private mutating func leave(_ address: IPAddress) {
        let left = counts[address, default: 1] - 1
        counts[address] = left > 0 ? left : nil
    }
}
