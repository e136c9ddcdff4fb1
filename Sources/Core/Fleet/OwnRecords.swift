import Addresses
import Clock
import FleetRecords

/// A key in the subtree of this node. A node writes no other: its queue holds nothing else.
enum OwnKey: Hashable, Sendable, Comparable {
    case ended(SharedGrant)
    case grant(SharedGrant)
    case quarantine(IPAddress)
    case status

    /// `nil`: grants of a node without a pair have none.
    func key(pair: String?, node: String) -> FleetKey? {
        switch self {
        case .ended(let grant): pair.map { .ended(pair: $0, node: node, grant) }
        case .grant(let grant): pair.map { .grant(pair: $0, node: node, grant) }
        case .quarantine(let client): .quarantine(node: node, client)
        case .status: .status(node: node)
        }
    }
}

/// What this node's daemon told: the records that its subtree should have.
struct OwnRecords: Sendable {
    private(set) var grants: [SharedGrant: GrantRecord] = [:]
    private(set) var ended: [SharedGrant: EndedRecord] = [:]
    private(set) var quarantines: [IPAddress: QuarantineRecord] = [:]
    private(set) var endsDropped = 0
    var status: NodeStatus?
    /// Grants that are published at their first use, or when they are due.
    private var unused = DueTable<SharedGrant>()
    private var labels: Set<String> = []

    private static let labelsMax = 1024

    /// The record that the key should have; `nil`: none.
    func record(_ key: OwnKey) -> FleetRecord? {
        switch key {
        case .grant(let grant): unused[grant] == nil ? grants[grant].map(FleetRecord.grant) : nil
        case .ended(let grant): ended[grant].map(FleetRecord.ended)
        case .quarantine(let client): quarantines[client].map(FleetRecord.quarantine)
        case .status: status.map(FleetRecord.status)
        }
    }

    /// Every key that should have a record, in an order that doesn't depend on the process.
    var keys: [OwnKey] {
        ended.keys.sorted().map(OwnKey.ended) + grants.keys.filter { unused[$0] == nil }.sorted().map(OwnKey.grant)
            + quarantines.keys.sorted().map(OwnKey.quarantine)
    }

    /// - Returns: whether there was room.
    mutating func issue(_ grant: SharedGrant, _ record: GrantRecord, at now: Instant) -> Bool {
        guard grants[grant] != nil || grants.count < FleetLimits.ownGrantsMax else { return false }
        let wasPublished = grants[grant] != nil && unused[grant] == nil
        var record = record
        record.rule = shared(record.rule)
        grants[grant] = record
        if !wasPublished { unused.insert(grant, at: now + FleetLimits.publishDelay) }
        return true
    }

    /// All grants were issued by few rules.
    private mutating func shared(_ label: String) -> String {
        if labels.count >= Self.labelsMax { labels = [] }
        return labels.insert(label).memberAfterInsert
    }

    /// A copy of another node's grant that was used here.
    mutating func adopt(_ grant: SharedGrant, _ record: GrantRecord) {
        guard grants.count < FleetLimits.ownGrantsMax else { return }
        grants[grant] = record
    }

    /// The copy stems from another grant now: from a later one, as a rule.
    ///
    /// - Returns: whether the copy is published here, and changed.
    mutating func rebase(_ grant: SharedGrant, on offer: GrantOffer) -> Bool {
        guard var record = grants[grant], record.origin != nil,
            record.origin != offer.origin || record.issued != offer.issued
        else { return false }
        record.origin = offer.origin
        record.issued = offer.issued
        record.keep = offer.keep
        grants[grant] = record
        return true
    }

    /// - Returns: how urgently to publish the grant's use, or `nil` if the published one does.
    mutating func use(_ grant: SharedGrant, at time: Timestamp, published: Timestamp?) -> PublishQueue.Urgency? {
        guard var record = grants[grant] else { return nil }
        record.used = max(record.used, time)
        grants[grant] = record
        guard !unused.remove(grant) else { return .change }
        guard let published else { return .change }
        return published + record.keep / FleetLimits.refreshDivisor < time ? .refresh : nil
    }

    /// - Parameters:
    ///   - room: for so many of those that are due.
    ///   - early: so many of a storm may go before they are due.
    /// - Returns: grants that nobody used.
    mutating func takeDue(at now: Instant, room: Int, early: Int) -> [SharedGrant] {
        var due: [SharedGrant] = []
        while due.count < room {
            let isStorm = due.count < early && unused.count > FleetLimits.unusedMax
            guard let (grant, _) = unused.popFirst(until: isStorm ? .distantFuture : now) else { break }
            due.append(grant)
        }
        // A storm's memory is given back.
        if unused.count == 0, !due.isEmpty { unused = DueTable() }
        return due
    }

    mutating func remove(_ grant: SharedGrant) {
        grants[grant] = nil
        _ = unused.remove(grant)
    }

    mutating func end(_ grant: SharedGrant, _ record: EndedRecord) {
        guard ended[grant] != nil || ended.count < FleetLimits.endedMax else {
            endsDropped += 1
            return
        }
        ended[grant] = ended[grant]?.merged(with: record) ?? record
    }

    /// This host's clock was set: what a clock that was ahead ended in the future ended now.
    ///
    /// - Returns: the keys whose records are others.
    mutating func clampEnds(at now: Timestamp) -> [OwnKey] {
        let wrong = ended.filter { NodeClocks.isAhead($0.value.at, of: now) }.keys.sorted()
        for grant in wrong { ended[grant] = ended[grant]?.clamped(at: now) }
        return wrong.map(OwnKey.ended)
    }

    mutating func quarantine(_ client: IPAddress, _ record: QuarantineRecord) {
        guard quarantines[client] != nil || quarantines.count < FleetLimits.quarantinesOfNodeMax else { return }
        quarantines[client] = record
    }

    mutating func release(_ client: IPAddress) { quarantines[client] = nil }

    /// - Parameters:
    ///   - endedHolds: for this time at least. `nil`: the clock may be wrong, and no end is over.
    ///   - isNeeded: whether another node has what ended here.
    /// - Returns: the keys whose records were over.
    mutating func removeExpired(
        at now: Timestamp, endedHolds: Duration?, isNeeded: (SharedGrant) -> Bool
    ) -> [OwnKey] {
        let over = endedHolds.map { endsOver(at: now, holds: $0, isNeeded: isNeeded) } ?? []
        for grant in over { ended[grant] = nil }
        let released = quarantines.filter { $0.value.until < now }.keys.sorted()
        for client in released { quarantines[client] = nil }
        return over.map(OwnKey.ended) + released.map(OwnKey.quarantine)
    }

    private func endsOver(
        at now: Timestamp, holds: Duration, isNeeded: (SharedGrant) -> Bool
    ) -> [SharedGrant] {
        // Very many leave room to those that come.
        let isCrowded = ended.count > FleetLimits.endedMax / 2
        return ended.filter { grant, record in
            record.at + (isCrowded ? holds : record.holds(holds)) < now && !isNeeded(grant)
        }.keys.sorted()
    }

    /// Whether the daemon issued it itself; what the fleet says never ends it.
    func isIssuedHere(_ grant: SharedGrant) -> Bool { grants[grant].map { $0.origin == nil } ?? false }

    /// Whether the stored record has to be written anew; a use alone counts when the stored one is old.
    func differs(_ key: OwnKey, from stored: StoreMirror.Stored?) -> Bool {
        guard let wanted = record(key) else { return stored != nil }
        guard let stored, stored.digest == StoreMirror.Stored.digest(of: wanted) else { return true }
        guard case .grant(let grant) = wanted, let used = stored.used else { return false }
        return used + grant.keep / FleetLimits.refreshDivisor < grant.used
    }

    /// Takes over what the daemon has, after it was not heard for a while; what it doesn't tell is gone.
    mutating func replace(
        grants: [SharedGrant: GrantRecord], ended: [SharedGrant: EndedRecord],
        quarantines: [IPAddress: QuarantineRecord]
    ) {
        self.grants = grants.mapValues { record in
            var record = record
            record.rule = shared(record.rule)
            return record
        }
        self.quarantines = quarantines
        unused = DueTable()
        for (grant, record) in ended { end(grant, record) }
    }
}
