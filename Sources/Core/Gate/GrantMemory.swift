import Clock
import Firewall

/// Grants that expired or lost their service; their client's next packet revives them.
///
/// An NFSv3 client never asks the portmapper again after its mount; without this its mount would hang. The kernel holds
/// the same as the sets `remembered4` and `remembered6`, which outlive the daemon.
struct GrantMemory: Sendable {
    struct Entry: Hashable, Sendable {
        var note: GrantNote
        var programs: Programs
        var until: Instant
    }

    private(set) var entries: [GrantKey: Entry] = [:]
    private var due = DueQueue<GrantKey>()

    subscript(key: GrantKey) -> Entry? { entries[key] }
    var count: Int { entries.count }
    var dueCount: Int { due.count }

    /// Remembers a grant; returns the grants that were forgotten to make room, the first to end first.
    mutating func remember(_ key: GrantKey, _ entry: Entry, limit: Int) -> [GrantKey] {
        entries[key] = entry
        look(after: key, at: entry.until)
        return trim(to: limit)
    }

    /// Makes room; returns the grants that were forgotten, the first to end first.
    mutating func trim(to limit: Int) -> [GrantKey] {
        var forgotten: [GrantKey] = []
        while entries.count > limit, let (oldest, at) = due.popFirst(until: .distantFuture) {
            guard entries[oldest]?.until == at else { continue }
            entries[oldest] = nil
            forgotten.append(oldest)
        }
        return forgotten
    }

    private mutating func look(after key: GrantKey, at instant: Instant) {
        let entries = entries
        due.insert(key, at: instant, among: entries.count, entries.lazy.map { ($0.key, $0.value.until) })
    }

    mutating func date(by redated: (Timestamp) -> Timestamp) {
        for (key, entry) in entries where entry.note.origin == nil {
            entries[key]?.note.issued = redated(entry.note.issued)
        }
    }

    mutating func forget(_ key: GrantKey) -> Bool {
        entries.removeValue(forKey: key) != nil
    }

    /// Drops entries that have ended; the kernel does the same by itself.
    mutating func timeAdvanced(to now: Instant) {
        while let (key, at) = due.popFirst(until: now) {
            if entries[key]?.until == at { entries[key] = nil }
        }
    }
}
