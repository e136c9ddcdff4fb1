import Addresses
import Firewall

/// The elements for addresses that lie in no prefix of policy: the addresses of its host names, as the other
/// process reports them.
///
/// They are counted by address, for this host and for each server: one host name must not suffice to open any port to
/// any address, one element at a time. Clients that a server calls back are counted by themselves. An address counts until the last of its elements is removed, or the kernel is found not to
/// hold it any more.
public struct OutsideElements: Hashable, Sendable {
    private var granted: [IPAddress: Set<ServicePort>] = [:]
    /// The standing elements, each with its addresses that lie outside.
    private var standing: [StandingKey: [IPAddress]] = [:]
    private var calledBack: [CallersKey: [IPAddress]] = [:]
    /// The number of elements of each address.
    private var counts: [Counted: Int] = [:]
    private var addressCounts: [Account: Int] = [:]
    /// The place of each `ServerID`: addresses of one server share a place.
    private let places: [Int]

    /// The addresses that are counted together.
    struct Account: Hashable {
        var place: Int
        var isOfCallers = false
    }

    private struct Counted: Hashable {
        var account: Account
        var address: IPAddress
    }

    public init(places: [Int] = [0]) { self.places = places }

    public var addressCount: Int { counts.count }

    func addressCount(of account: Account) -> Int { addressCounts[account] ?? 0 }

    /// `nil`: no such server.
    func account(of server: ServerID, isOfCallers: Bool = false) -> Account? {
        let index = Int(server.caller.rawValue)
        guard places.indices.contains(index) else { return nil }
        return Account(place: places[index], isOfCallers: isOfCallers || server.isCallback)
    }

    /// The grants that the kernel may have let expire.
    public var grants: [GrantKey] {
        granted.flatMap { client, services in services.map { GrantKey(client: client, service: $0) } }
    }

    var ranges: some Collection<StandingKey> { standing.keys }
    var callers: some Collection<CallersKey> { calledBack.keys }

    mutating func grant(_ key: GrantKey) {
        if granted[key.client, default: []].insert(key.service).inserted {
            enter(key.client, account(of: key.service.server))
        }
    }

    mutating func addStanding(_ key: StandingKey, _ addresses: [IPAddress]) {
        guard standing.updateValue(addresses, forKey: key) == nil else { return }
        for address in addresses { enter(address, account(of: key.service.server)) }
    }

    mutating func addCallers(_ key: CallersKey, _ addresses: [IPAddress]) {
        guard calledBack.updateValue(addresses, forKey: key) == nil else { return }
        for address in addresses { enter(address, account(of: key.server, isOfCallers: true)) }
    }

    mutating func revoke(_ key: GrantKey) {
        // Checked first: changing a missing entry would copy the whole dictionary.
        guard granted[key.client]?.contains(key.service) == true else { return }
        granted[key.client]?.remove(key.service)
        if granted[key.client]?.isEmpty == true { granted[key.client] = nil }
        leave(key.client, account(of: key.service.server))
    }

    mutating func removeStanding(_ key: StandingKey) {
        guard let addresses = standing[key] else { return }
        standing[key] = nil
        for address in addresses { leave(address, account(of: key.service.server)) }
    }

    mutating func removeCallers(_ key: CallersKey) {
        guard let addresses = calledBack.removeValue(forKey: key) else { return }
        for address in addresses { leave(address, account(of: key.server, isOfCallers: true)) }
    }

    mutating func removeCallers() {
        for key in calledBack.keys { removeCallers(key) }
    }

    /// Adds what the other one has.
    mutating func formUnion(_ other: OutsideElements) {
        for key in other.grants { grant(key) }
        for (key, addresses) in other.standing { addStanding(key, addresses) }
        for (key, addresses) in other.calledBack { addCallers(key, addresses) }
    }

    mutating func removeAll() { self = OutsideElements(places: places) }

    mutating func unstandAll() {
        for key in standing.keys { removeStanding(key) }
    }

    /// Keeps only the grants that the kernel still holds.
    public mutating func keep(_ isHeld: (GrantKey) -> Bool) {
        for key in grants where !isHeld(key) { revoke(key) }
    }

    private mutating func enter(_ address: IPAddress, _ account: Account?) {
        guard let account else { return }
        let counted = Counted(account: account, address: address)
        counts[counted, default: 0] += 1
        if counts[counted] == 1 { addressCounts[account, default: 0] += 1 }
    }

    private mutating func leave(_ address: IPAddress, _ account: Account?) {
        guard let account else { return }
        let counted = Counted(account: account, address: address)
        let left = counts[counted, default: 1] - 1
        counts[counted] = left > 0 ? left : nil
        if left == 0 { addressCounts[account, default: 1] -= 1 }
    }
}
