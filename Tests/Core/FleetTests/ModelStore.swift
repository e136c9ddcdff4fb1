import Clock
import Fleet
import FleetRecords

/// A store as a fleet sees it: revisions, leases, watches from a revision, compaction.
struct ModelStore {
    struct Stored {
        var record: FleetRecord
        var lease: Int?
    }

    struct Lease {
        var duration: Duration
        var ends: Instant
    }

    private(set) var revision: Int64 = 1
    private(set) var compacted: Int64 = 0
    private(set) var records: [FleetKey: Stored] = [:]
    private(set) var leases: [Int: Lease] = [:]
    private var nextLease = 1
    /// The records when the history begins.
    private var base: [FleetKey: FleetRecord] = [:]
    private var history: [(revision: Int64, change: StoreChange)] = []
    /// The order of keys is that of their texts.
    private var texts: [FleetKey: String] = [:]

    mutating func grantLease(_ duration: Duration, at now: Instant) -> Int {
        nextLease += 1
        leases[nextLease] = Lease(duration: duration, ends: now + duration)
        return nextLease
    }

    mutating func keepLease(_ id: Int, at now: Instant) -> Bool {
        guard let lease = leases[id] else { return false }
        leases[id]?.ends = now + lease.duration
        return true
    }

    mutating func lapse(_ id: Int) {
        leases[id] = nil
        for key in sorted(records.filter { $0.value.lease == id }.map(\.key)) { change(.delete(key), lease: nil) }
    }

    mutating func lapseDue(at now: Instant) {
        for id in leases.filter({ $0.value.ends <= now }).keys.sorted() { lapse(id) }
    }

    /// - Returns: whether each lease is alive; otherwise nothing is done.
    mutating func transact(_ operations: [StoreOperation], leases ids: [FleetLease: Int]) -> Bool {
        for case .put(_, _, let lease) in operations {
            guard let id = ids[lease], leases[id] != nil else { return false }
        }
        for operation in operations {
            switch operation {
            case .put(let key, let record, let lease): change(.put(key, record), lease: ids[lease])
            case .delete(let key): if records[key] != nil { change(.delete(key), lease: nil) }
            }
        }
        return true
    }

    private mutating func change(_ change: StoreChange, lease: Int?) {
        revision += 1
        switch change {
        case .put(let key, let record):
            records[key] = Stored(record: record, lease: lease)
            if texts[key] == nil { texts[key] = key.text(of: "lab") }
        case .delete(let key): records[key] = nil
        }
        history.append((revision, change))
    }

    /// Somebody else writes, and what was before is gone.
    mutating func compactBehindNews() {
        revision += 1
        compact()
    }

    mutating func compact() {
        base = records.mapValues(\.record)
        compacted = revision
        history.removeAll()
    }

    private func sorted(_ keys: [FleetKey]) -> [FleetKey] {
        keys.sorted { texts[$0, default: ""] < texts[$1, default: ""] }
    }

    /// `nil`: the revision is compacted.
    func page(_ range: FleetRange, after: FleetKey?, revision wanted: Int64?, max: Int) -> StorePage? {
        let wanted = wanted ?? revision
        guard wanted >= compacted, wanted <= revision else { return nil }
        let state = records(at: wanted)
        let start = after.map { texts[$0, default: ""] } ?? ""
        let keys = sorted(state.keys.filter { Self.holds(range, $0) && texts[$0, default: ""] > start })
        let chosen = keys.prefix(max).compactMap { key in state[key].map { (key: key, record: $0) } }
        return StorePage(chosen, revision: wanted, isLast: keys.count <= max)
    }

    /// Undoes the changes since then.
    private func records(at wanted: Int64) -> [FleetKey: FleetRecord] {
        guard wanted < revision else { return records.mapValues(\.record) }
        let later = Set(history.filter { $0.revision > wanted }.map(\.change.key))
        var state = records.mapValues(\.record).filter { !later.contains($0.key) }
        for (key, record) in base where later.contains(key) { state[key] = record }
        for (revision, change) in history where revision <= wanted && later.contains(change.key) {
            if case .put(let key, let record) = change { state[key] = record } else { state[change.key] = nil }
        }
        return state
    }

    private static func holds(_ range: FleetRange, _ key: FleetKey) -> Bool {
        switch key {
        case .grant, .ended: range == .pair
        case .quarantine: range == .quarantines
        case .status, .currentPolicy, .policyPiece, .order: false
        }
    }

    /// The changes from a revision on; `nil`: compacted.
    func changes(from start: Int64) -> (changes: [StoreChange], next: Int64)? {
        guard start > compacted else { return nil }
        guard start <= revision else { return ([], start) }
        return (history.filter { $0.revision >= start }.map(\.change), max(start, revision + 1))
    }
}

extension StoreChange {
    var key: FleetKey {
        switch self {
        case .put(let key, _), .delete(let key): key
        }
    }
}
