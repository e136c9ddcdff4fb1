/// What the store holds in this node's subtree, by what was read and watched.
struct StoreMirror: Sendable {
    private(set) var records: [OwnKey: FleetRecord] = [:]
    /// The keys that were put under the lease that is held now.
    private(set) var attached: Set<OwnKey> = []
    /// While everything is read anew.
    private var fresh: [OwnKey: FleetRecord] = [:]

    mutating func beginRead() { fresh = [:] }
    mutating func read(_ key: OwnKey, _ record: FleetRecord) { fresh[key] = record }

    mutating func endRead() {
        records = fresh
        fresh = [:]
    }

    mutating func put(_ key: OwnKey, _ record: FleetRecord) { records[key] = record }
    mutating func delete(_ key: OwnKey) { records[key] = nil }
    mutating func attach(_ keys: some Sequence<OwnKey>) { attached.formUnion(keys) }
    mutating func detachAll() { attached = [] }

    /// The keys that have to be written or deleted, so that the store has what this node wants.
    func disagreements(with own: OwnRecords) -> [OwnKey] {
        let wanted = own.keys.filter { !attached.contains($0) || own.differs($0, from: records[$0]) }
        let extra = records.keys.filter { own.record($0) == nil }
        return wanted + extra.sorted()
    }

    /// The last use of the grant that is published.
    func use(of grant: SharedGrant) -> GrantRecord? {
        guard case .grant(let record)? = records[.grant(grant)] else { return nil }
        return record
    }
}
