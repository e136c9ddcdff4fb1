import Clock
import FleetRecords

/// The grants that were ended here: no other node brings them back.
struct EndedGrants: Sendable {
    private(set) var records: [SharedGrant: EndedRecord] = [:]
    private var due = DueTable<SharedGrant>()

    static let countMax = 8192
    /// Beyond `keep`: another node may have been away.
    private static let margin = Duration.seconds(3600)

    /// Whether another one pushes none out.
    var hasRoom: Bool { records.count < Self.countMax }

    mutating func insert(_ grant: SharedGrant, _ record: EndedRecord, holds: Duration, at now: Instant) {
        // The first to be forgotten makes room.
        if records[grant] == nil, records.count >= Self.countMax, let (oldest, _) = due.popFirst(until: .distantFuture)
        {
            records[oldest] = nil
        }
        records[grant] = records[grant]?.merged(with: record) ?? record
        due.insert(grant, at: now + holds + Self.margin)
    }

    /// Whether a grant that another node issued then was ended here since.
    func beats(_ grant: SharedGrant, issued: Timestamp) -> Bool {
        guard let revoked = records[grant]?.revoked else { return false }
        return issued <= revoked + Sharing.clocksDifferenceMax
    }

    /// A grant of this node lives, so it was issued after its last end, though the note of its issue tells whole seconds.
    func after(_ issued: Timestamp, _ grant: SharedGrant) -> Timestamp {
        guard let end = records[grant]?.at else { return issued }
        return max(issued, end + .milliseconds(1))
    }

    mutating func timeAdvanced(to now: Instant) {
        while let (grant, _) = due.popFirst(until: now) { records[grant] = nil }
    }
}
