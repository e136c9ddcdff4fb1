import Addresses
import Clock
import Firewall

/// A grant that the kernel has acknowledged.
public struct Grant: Hashable, Sendable {
    /// The programs for which the port is open; several may share a port.
    public var programs: Programs
    /// The label of the rule that permitted the grant.
    public var rule: String
    public var issued: Timestamp
    /// The kernel keeps the element at least this long; packets prolong it without the daemon's knowledge.
    public var expiresNotBefore: Instant
    /// A call over UDP asked for the grant, and no packet of the client is known to have used it.
    public var isUnproven = false
    /// Another node issued it, and no client asked for it here.
    public var isCopy = false
}

extension GrantNote {
    init(_ grant: Grant) { self.init(program: grant.programs.least, issued: grant.issued, rule: grant.rule) }
}

/// The grants that the kernel holds, as far as the daemon knows: the kernel expires and prolongs them by itself.
///
/// Each grant has a place; the places of one client are linked, the latest first. So one look-up finds a client
/// with all its grants, which are few (`limits.grants-per-client`).
struct GrantLedger: Sendable {
    private typealias Number = Int32

    private struct Place {
        var key: GrantKey
        /// The next grant of the same client, or the next free place; -1: none.
        var next: Number
        var isTaken = false
        var grant = vacant
    }

    private var places: [Place] = []
    private var firstOfClient: [IPAddress: Number] = [:]
    private var firstFree = none
    /// When to ask the kernel whether the grant in a place still lives.
    private var due = DueQueue<Number>()
    private(set) var count = 0
    /// Those of them that other nodes issued.
    private(set) var copyCount = 0
    /// The places of the grants at each address of a server behind this gateway.
    private var placesOfServer: [ServerID: Set<Number>] = [:]

    private static let none: Number = -1
    /// The grant in a place that isn't taken.
    private static let vacant = Grant(
        programs: Programs(.portmapper), rule: "", issued: Timestamp(milliseconds: 0), expiresNotBefore: .zero)

    /// All grants, in no order.
    var all: some Sequence<(key: GrantKey, grant: Grant)> {
        places.lazy.filter(\.isTaken).map { ($0.key, $0.grant) }
    }

    var keys: some Sequence<GrantKey> { places.lazy.filter(\.isTaken).map(\.key) }

    /// The grants at each address of a server behind this gateway.
    var countOfServer: [ServerID: Int] { placesOfServer.mapValues(\.count) }

    /// The grants at these servers, in no order.
    func all(at servers: Set<ServerID>) -> [(key: GrantKey, grant: Grant)] {
        var found: [(key: GrantKey, grant: Grant)] = []
        for server in servers {
            guard server == .thisHost else {
                for number in placesOfServer[server] ?? [] {
                    found.append((places[Int(number)].key, places[Int(number)].grant))
                }
                continue
            }
            for number in places.indices where places[number].isTaken && places[number].key.service.server == server {
                found.append((places[number].key, places[number].grant))
            }
        }
        return found
    }

    /// Up to `limit` grants from the place `start` on, each once, and the place to go on at.
    func some(from start: Int, limit: Int) -> (keys: [GrantKey], next: Int) {
        var keys: [GrantKey] = []
        var next = places.indices.contains(start) ? start : 0
        var left = places.count
        while left > 0, keys.count < limit {
            if places[next].isTaken { keys.append(places[next].key) }
            next = next + 1 < places.count ? next + 1 : 0
            left -= 1
        }
        return (keys, count > limit ? next : 0)
    }

    func grants(fromPlace place: Int, count: Int) -> (grants: [(key: GrantKey, grant: Grant)], next: Int?) {
        let end = min(places.count, place + count)
        guard place < end else { return ([], nil) }
        let found = places[place..<end].filter(\.isTaken).map { (key: $0.key, grant: $0.grant) }
        return (found, end < places.count ? end : nil)
    }

    func keys(of client: IPAddress) -> [GrantKey] {
        var keys: [GrantKey] = []
        var number = firstOfClient[client] ?? Self.none
        while number != Self.none {
            keys.append(places[Int(number)].key)
            number = places[Int(number)].next
        }
        return keys
    }

    private func number(of key: GrantKey) -> Int? {
        var number = firstOfClient[key.client] ?? Self.none
        while number != Self.none {
            if places[Int(number)].key.service == key.service { return Int(number) }
            number = places[Int(number)].next
        }
        return nil
    }

    subscript(key: GrantKey) -> Grant? { number(of: key).map { places[$0].grant } }

    /// The time until which the kernel holds the grant at least; `nil` without a grant for this program. A copy is none: the
    /// client that asks here gets a grant of this node.
    func expiry(of key: GrantKey, for program: Program) -> Instant? {
        guard let number = number(of: key), !places[number].grant.isCopy,
            places[number].grant.programs.contains(program)
        else { return nil }
        return places[number].grant.expiresNotBefore
    }

    func isUnproven(_ key: GrantKey) -> Bool { number(of: key).map { places[$0].grant.isUnproven } ?? false }

    func count(of client: IPAddress) -> Int {
        var count = 0
        var number = firstOfClient[client] ?? Self.none
        while number != Self.none {
            count += 1
            number = places[Int(number)].next
        }
        return count
    }

    /// Makes room for that many grants that are about to be recorded.
    mutating func reserve(_ count: Int) {
        places.reserveCapacity(count)
        firstOfClient.reserveCapacity(count)
    }

    mutating func record(_ key: GrantKey, _ grant: Grant) {
        let number = number(of: key) ?? add(key)
        copyCount += (grant.isCopy ? 1 : 0) - (places[number].grant.isCopy ? 1 : 0)
        places[number].grant = grant
        look(after: number, at: grant.expiresNotBefore)
    }

    private mutating func add(_ key: GrantKey) -> Int {
        count += 1
        let place = Place(key: key, next: firstOfClient[key.client] ?? Self.none, isTaken: true)
        let number: Int
        if firstFree == Self.none {
            number = places.count
            places.append(place)
        } else {
            number = Int(firstFree)
            firstFree = places[number].next
            places[number] = place
        }
        firstOfClient[key.client] = Number(number)
        if key.service.server != .thisHost {
            placesOfServer[key.service.server, default: []].insert(Number(number))
        }
        return number
    }

    mutating func remove(_ key: GrantKey) -> Grant? {
        guard let number = number(of: key) else { return nil }
        unlink(Number(number), of: key.client)
        places[number].next = firstFree
        firstFree = Number(number)
        count -= 1
        if places[number].grant.isCopy { copyCount -= 1 }
        if key.service.server != .thisHost { placesOfServer[key.service.server]?.remove(Number(number)) }
        places[number].isTaken = false
        defer { places[number].grant = Self.vacant }
        return places[number].grant
    }

    private mutating func unlink(_ number: Number, of client: IPAddress) {
        let next = places[Int(number)].next
        guard var before = firstOfClient[client], before != number else {
            firstOfClient[client] = next == Self.none ? nil : next
            return
        }
        while places[Int(before)].next != number { before = places[Int(before)].next }
        places[Int(before)].next = next
    }

    /// The kernel keeps the grant longer than was known: if by more than the inaccuracy of clocks, packets have
    /// used it.
    mutating func prolong(_ key: GrantKey, notBefore instant: Instant) {
        guard let number = number(of: key) else { return }
        if instant > places[number].grant.expiresNotBefore + GrantLives.tolerance {
            places[number].grant.isUnproven = false
        }
        begin(key, notBefore: instant)
    }

    /// Dates the issues of this node's own grants anew.
    mutating func date(by redated: (Timestamp) -> Timestamp) {
        for number in places.indices where !places[number].grant.isCopy {
            places[number].grant.issued = redated(places[number].grant.issued)
        }
    }

    /// Begins the grant's life anew, with another end.
    mutating func begin(_ key: GrantKey, notBefore instant: Instant) {
        guard let number = number(of: key) else { return }
        places[number].grant.expiresNotBefore = instant
        look(after: number, at: instant)
    }

    private mutating func look(after number: Int, at instant: Instant) {
        let places = places
        due.insert(
            Number(number), at: instant, among: count,
            places.indices.lazy.filter { places[$0].isTaken }.map { (Number($0), places[$0].grant.expiresNotBefore) })
    }

    var dueCount: Int { due.count }

    /// Up to `limit` grants that may have expired by now.
    mutating func takeDue(at now: Instant, limit: Int) -> [GrantKey] {
        var keys: [GrantKey] = []
        var isTaken: Set<Number> = []
        while keys.count < limit, let (number, at) = due.popFirst(until: now) {
            // The grant was renewed, or the place has another grant now: a later entry stands for it.
            let place = places[Int(number)]
            guard place.isTaken, place.grant.expiresNotBefore <= at, isTaken.insert(number).inserted else { continue }
            keys.append(place.key)
        }
        return keys
    }
}
