import Clock
import FleetRecords

/// The grants that were ended here: no other node brings them back.
struct EndedGrants: Sendable {
    private(set) var records: [SharedGrant: EndedRecord] = [:]
    /// Of an earlier run, as it dated them: they are ahead of this run's clock. Which of the two was wrong isn't known yet.
    private var ahead: [SharedGrant: EndedRecord] = [:]
    private var due = DueTable<SharedGrant>()

    static let countMax = 8192
    /// Beyond `keep`: another node may have been away. And since the time was read: the clock may be ahead.
    private static let margin = Duration.seconds(3600)

    /// Whether another one pushes none out.
    var hasRoom: Bool { records.count < Self.countMax }

    /// The records for a later run.
    var found: [SharedGrant: EndedRecord] { records.merging(ahead) { $1 } }

    mutating func insert(
        _ grant: SharedGrant, _ record: EndedRecord, keep: Duration, at now: Instant, _ wallClock: Timestamp
    ) {
        // The first to be forgotten makes room.
        if records[grant] == nil, !hasRoom, let (oldest, _) = due.popFirst(until: .distantFuture) { forget(oldest) }
        ahead[grant] = NodeClocks.isAhead(record.at, of: wallClock) ? record : nil
        let clamped = record.clamped(at: wallClock)
        records[grant] = records[grant]?.merged(with: clamped) ?? clamped
        hold(grant, keep: keep, at: now, wallClock)
    }

    private mutating func hold(_ grant: SharedGrant, keep: Duration, at now: Instant, _ wallClock: Timestamp) {
        guard let record = records[grant] else { return }
        due.insert(grant, at: now + Self.rest(of: record.holds(keep + Self.margin), since: record.at, wallClock))
    }

    /// What is left of the time that something holds: at least some, for the clock may be ahead.
    static func rest(of holds: Duration, since start: Timestamp, _ wallClock: Timestamp) -> Duration {
        let age = Duration.milliseconds(max(0, wallClock.milliseconds - start.milliseconds))
        return max(holds - age, margin)
    }

    /// A grant of this node lives, so it was issued after its last end, though the note of its issue tells whole seconds.
    func after(_ issued: Timestamp, _ grant: SharedGrant) -> Timestamp {
        guard let end = records[grant]?.at else { return issued }
        return max(issued, end + .milliseconds(1))
    }

    private mutating func forget(_ grant: SharedGrant) {
        records[grant] = nil
        ahead[grant] = nil
    }

    mutating func timeAdvanced(to now: Instant) {
        while let (grant, _) = due.popFirst(until: now) { forget(grant) }
    }

    /// The wall clock was set: what it ended while it was ahead ended now, at the latest.
    mutating func clockSet(keep: Duration, at now: Instant, _ wallClock: Timestamp) {
        for (grant, record) in records {
            records[grant] = (ahead[grant] ?? record).clamped(at: wallClock)
            hold(grant, keep: keep, at: now, wallClock)
        }
        ahead = ahead.filter { NodeClocks.isAhead($0.value.at, of: wallClock) }
    }
}
