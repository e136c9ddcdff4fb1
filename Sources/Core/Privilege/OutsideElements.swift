import Addresses
import Firewall

/// The elements for addresses that lie in no prefix of policy: those of its host names, as the other process says.
///
/// They are counted by address, in all: one host name must not be worth any port for anybody, one element at a time. An
/// address counts until the last of its elements was taken away, or the kernel was found not to hold it any more.
public struct OutsideElements: Hashable, Sendable {
    private var granted: [IPAddress: Set<ServicePort>] = [:]
    /// Each with those of its addresses that lie outside.
    private var standing: [StandingKey: [IPAddress]] = [:]
    /// How many elements each address has.
    private var counts: [IPAddress: Int] = [:]

    public init() {}

    public var addressCount: Int { counts.count }

    /// Those that the kernel may have let expire.
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
        // Asked first: to change what isn't there would copy all of it.
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

    /// The kernel holds no other grants than these any more.
    public mutating func keep(_ isHeld: (GrantKey) -> Bool) {
        for key in grants where !isHeld(key) { revoke(key) }
    }

    private mutating func leave(_ address: IPAddress) {
        let left = counts[address, default: 1] - 1
        counts[address] = left > 0 ? left : nil
    }
}
