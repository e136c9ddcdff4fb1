import Clock
import FleetRecords

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
        init(_ record: GrantRecord, of node: String, at now: Timestamp) {
            raw = record
            used = NodeClocks.isAhead(record.used, of: now) ? now : record.used
            isClamped = NodeClocks.isAhead(record.issued, of: now)
            origin = record.origin ?? node
        }

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
    /// When the daemon was offered the copy last, or told that it has it.
    var seen: Timestamp?

    mutating func forgetCopy() { (copy, offered, seen) = (nil, nil, nil) }

    /// Whether the daemon can't have the copy any more, whatever it did with the offer: it keeps none for longer.
    func isCopyOver(at now: Timestamp) -> Bool {
        guard let copy, let seen, sources.isEmpty else { return false }
        return seen + copy.keep + FleetLimits.copyMargin < now
    }

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
            return copy.isClamped || copy.issued <= revoked + NodeClocks.differenceMax
        }
    }

    /// - Returns: whether the record was clamped; `nil`: there was no room for it.
    mutating func put(_ record: GrantRecord, of node: String, at now: Timestamp) -> Bool? {
        guard sources[node] != nil || sources.count < FleetLimits.writersMax else { return nil }
        // A record that is read again keeps the times that it was given first.
        if sources[node]?.raw == record { return false }
        sources[node] = Source(record, of: node, at: now)
        return NodeClocks.isAhead(record.issued, of: now) || NodeClocks.isAhead(record.used, of: now)
    }

    /// This host's clock was set: the times that were clamped by the former one are clamped by this one.
    mutating func clampAnew(at now: Timestamp) {
        for (node, source) in sources { sources[node] = Source(source.raw, of: node, at: now) }
        for (node, end) in ended {
            let record = end.raw.clamped(at: now)
            // What was said before stays, unless it is of a wrong time, too.
            let isWrong = NodeClocks.isAhead(end.record.at, of: now)
            ended[node]?.record = isWrong ? record : record.merged(with: end.record)
        }
    }

    /// - Returns: whether the record was clamped; `nil`: there was no room for it.
    mutating func end(_ record: EndedRecord, by node: String, at now: Timestamp) -> Bool? {
        guard ended[node] != nil || ended.count < FleetLimits.writersMax else { return nil }
        if ended[node]?.raw == record { return false }
        let clamped = record.clamped(at: now)
        // A restored backup tells what was said before.
        ended[node] = Ended(raw: record, record: ended[node]?.record.merged(with: clamped) ?? clamped)
        return clamped.at != record.at
    }

    /// A node has what was ended.
    var hasBeatenSource: Bool { sources.values.contains { isBeaten($0.copy) } }

    /// Forgets what is over.
    mutating func prune(at now: Timestamp, endedHolds: Duration, isCrowded: Bool) {
        sources = sources.filter { $0.value.ends > now }
        // It would come back.
        guard !hasBeatenSource else { return }
        ended = ended.filter { _, end in
            end.record.at + (isCrowded ? endedHolds : end.record.holds(endedHolds)) > now
        }
    }

    /// What nodes say.
    var recordCount: Int { sources.count + ended.count }
    var isEmpty: Bool { sources.isEmpty && ended.isEmpty && copy == nil }
}
