import Addresses
import Clock
import Firewall

/// A grant that the kernel has acknowledged.
public struct Grant: Hashable, Sendable {
    /// For whose sake the port is open; several programs may share a port.
    public var programs: Programs
    /// The label of the rule that permitted it.
    public var rule: String
    public var issued: Timestamp
    /// The kernel keeps the element at least this long; packets prolong it without our knowing.
    public var expiresNotBefore: Instant
    /// A call over UDP asked for it, and no packet of the client has used it, as far as we know.
    public var isUnproven = false
}

/// The grants that the kernel holds, as far as we know: it expires and prolongs them by itself.
///
/// Each has a place; those of one client are linked, the latest first. So one look-up finds a client with all that it
/// has, of which there are few (`limits.grants-per-client`).
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

    private static let none: Number = -1
    /// What a place holds that isn't taken.
    private static let vacant = Grant(
        programs: Programs(.portmapper), rule: "", issued: Timestamp(milliseconds: 0), expiresNotBefore: .zero)

    /// In no order.
    var all: some Sequence<(key: GrantKey, grant: Grant)> {
        places.lazy.filter(\.isTaken).map { ($0.key, $0.grant) }
    }

    var keys: some Sequence<GrantKey> { places.lazy.filter(\.isTaken).map(\.key) }

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

    private func number(of key: GrantKey) -> Int? {
        var number = firstOfClient[key.client] ?? Self.none
        while number != Self.none {
            if places[Int(number)].key.service == key.service { return Int(number) }
            number = places[Int(number)].next
        }
        return nil
    }

    subscript(key: GrantKey) -> Grant? { number(of: key).map { places[$0].grant } }

    /// Until when the kernel holds the grant at least, if it is there and for this program.
    func expiry(of key: GrantKey, for program: Program) -> Instant? {
        guard let number = number(of: key), places[number].grant.programs.contains(program) else { return nil }
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

    /// That many grants are about to be recorded.
    mutating func reserve(_ count: Int) {
        places.reserveCapacity(count)
        firstOfClient.reserveCapacity(count)
    }

    mutating func record(_ key: GrantKey, _ grant: Grant) {
        let number = number(of: key) ?? add(key)
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
        return number
    }

    mutating func remove(_ key: GrantKey) -> Grant? {
        guard let number = number(of: key) else { return nil }
        unlink(Number(number), of: key.client)
        places[number].next = firstFree
        firstFree = Number(number)
        count -= 1
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

    /// The kernel keeps it longer than we knew: if not just by the inaccuracy of clocks, packets have used it.
    mutating func prolong(_ key: GrantKey, notBefore instant: Instant) {
        guard let number = number(of: key) else { return }
        if instant > places[number].grant.expiresNotBefore + GrantLives.tolerance {
            places[number].grant.isUnproven = false
        }
        begin(key, notBefore: instant)
    }

    /// The grant is what it was, with another end.
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
        while keys.count < limit, let (number, at) = due.popFirst(until: now) {
            // Renewed since, or another's place now: a later entry stands for it.
            let place = places[Int(number)]
            if place.isTaken, place.grant.expiresNotBefore <= at { keys.append(place.key) }
        }
        return keys
    }
}
