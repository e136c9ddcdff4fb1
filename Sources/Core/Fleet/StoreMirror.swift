import Clock
import FleetRecords

/// What the store holds in this node's subtree, by what was read and watched. Records are many: of each only what can be
/// compared is kept.
struct StoreMirror: Sendable {
    struct Stored: Hashable, Sendable {
        /// Of all but the last use; it means nothing outside this process.
        var digest: Int
        /// The last use of a grant.
        var used: Timestamp?

        init(_ record: FleetRecord) {
            digest = Self.digest(of: record)
            if case .grant(let grant) = record { used = grant.used }
        }

        static func digest(of record: FleetRecord) -> Int {
            guard case .grant(var grant) = record else { return record.hashValue }
            grant.used = Timestamp(milliseconds: 0)
            return grant.hashValue
        }
    }

    /// Of keys, both times.
    private let max: Int
    private var stored: [OwnKey: Stored] = [:]
    /// The keys that were put under the lease that is held now.
    private(set) var attached: Set<OwnKey> = []
    /// While everything is read anew.
    private var fresh: [OwnKey: Stored] = [:]

    init(max: Int = FleetLimits.ownKeysMax) { self.max = max }

    mutating func beginRead() { fresh = [:] }
    mutating func read(_ key: OwnKey, _ record: FleetRecord) {
        if fresh[key] != nil || fresh.count < max { fresh[key] = Stored(record) }
    }

    mutating func endRead() {
        stored = fresh
        fresh = [:]
    }

    mutating func put(_ key: OwnKey, _ record: FleetRecord) {
        if stored[key] != nil || stored.count < max { stored[key] = Stored(record) }
    }
    mutating func delete(_ key: OwnKey) { stored[key] = nil }
    /// Of deleted keys nothing stays.
    mutating func written(_ flight: Publisher.Flight) {
        attached.subtract(flight.keys)
        attached.formUnion(flight.put)
    }
    mutating func detachAll() { attached = [] }

    /// The keys that have to be written or deleted, so that the store has what this node wants.
    func disagreements(with own: OwnRecords) -> [OwnKey] {
        let wanted = own.keys.filter { !attached.contains($0) || own.differs($0, from: stored[$0]) }
        let extra = stored.keys.filter { own.record($0) == nil }
        return wanted + extra.sorted()
    }

    /// The last use of the grant that is published.
    func use(of grant: SharedGrant) -> Timestamp? { stored[.grant(grant)]?.used }
}
