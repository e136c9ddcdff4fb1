import Clock

/// What the fleet says about one grant, and the copy of it that the daemon was offered.
struct ForeignEntry: Sendable {
    /// A grant in another node's subtree, its times clamped when they came.
    struct Source: Sendable {
        var raw: GrantRecord
        var used: Timestamp
        /// The time of issue is of no clock that can be compared: whatever ended beats it.
        var isClamped: Bool
        var origin: String

        var ends: Timestamp { used + raw.keep }
        var copy: Copy { Copy(issued: raw.issued, origin: origin, keep: raw.keep, isClamped: isClamped) }
    }

    struct Ended: Sendable {
        var raw: EndedRecord
        /// Its times, clamped.
        var record: EndedRecord
    }

    /// The grant that a copy stems from.
    struct Copy: Hashable, Sendable {
        var issued: Timestamp
        var origin: String
        var keep: Duration
        var isClamped = false

        func isLater(than other: Copy) -> Bool {
            // A clamped time is no time of issue.
            if isClamped != other.isClamped { return other.isClamped }
            if issued != other.issued { return issued > other.issued }
            if origin != other.origin { return origin > other.origin }
            return keep > other.keep
        }
    }

    enum Judgement: Sendable {
        case live(node: String, Source)
        /// What ended beats each grant, or the copy.
        case ended
        /// Nothing says anything: that means nothing.
        case silent
    }

    private(set) var sources: [String: Source] = [:]
    private(set) var ended: [String: Ended] = [:]
    var copy: Copy?
    /// The last use that the daemon was offered.
    var offered: Timestamp?

    func judgement(at now: Timestamp) -> Judgement {
        var best: (node: String, source: Source)?
        // The order is total and the same at each node: two nodes with copies never take each other's by turns.
        for (node, source) in sources where source.ends > now && !isBeaten(source.copy) {
            guard let other = best else {
                best = (node, source)
                continue
            }
            let isSame = source.copy == other.source.copy
            if isSame
                ? (source.used, other.node) > (other.source.used, node) : source.copy.isLater(than: other.source.copy)
            {
                best = (node, source)
            }
        }
        if let best { return .live(node: best.node, best.source) }
        guard let copy, isBeaten(copy) else { return .silent }
        return .ended
    }

    /// `ended` beats grants issued before it. Times of one clock compare exactly; between two clocks, a grant that may
    /// have been issued before counts as such: its client asks anew.
    func isBeaten(_ copy: Copy) -> Bool {
        ended.contains { node, end in
            if node == copy.origin { return copy.isClamped || copy.issued <= end.record.at }
            // A node's policy is about its own grants; other nodes have their own.
            guard let revoked = end.record.revoked else { return false }
            return copy.isClamped || copy.issued <= revoked + FleetLimits.clocksDifferenceMax
        }
    }

    /// - Returns: whether the record was clamped; `nil`: there was no room for it.
    mutating func put(_ record: GrantRecord, of node: String, at now: Timestamp) -> Bool? {
        guard sources[node] != nil || sources.count < FleetLimits.writersMax else { return nil }
        // A record that is read again keeps the times that it was given first.
        if sources[node]?.raw == record { return false }
        let latest = now + FleetLimits.futureMax
        let isClamped = record.issued > latest || record.used > latest
        sources[node] = Source(
            raw: record, used: record.used > latest ? now : record.used, isClamped: record.issued > latest,
            origin: record.origin ?? node)
        return isClamped
    }

    /// - Returns: whether the record was clamped; `nil`: there was no room for it.
    mutating func end(_ record: EndedRecord, by node: String, at now: Timestamp) -> Bool? {
        guard ended[node] != nil || ended.count < FleetLimits.writersMax else { return nil }
        if ended[node]?.raw == record { return false }
        let isClamped = record.at > now + FleetLimits.futureMax
        let clamped = EndedRecord(at: isClamped ? now : record.at, why: record.why, revoked: record.revoked)
        // A restored backup tells what was said before.
        ended[node] = Ended(raw: record, record: ended[node]?.record.merged(with: clamped) ?? clamped)
        return isClamped
    }

    /// Forgets what is over.
    mutating func prune(at now: Timestamp, endedHolds: Duration) {
        sources = sources.filter { $0.value.ends > now }
        ended = ended.filter { $0.value.record.at + endedHolds > now }
    }

    var isEmpty: Bool { sources.isEmpty && ended.isEmpty && copy == nil }
}
