/// Keys, each with the instant at which it is due.
public struct DueTable<Key: Hashable & Sendable>: Sendable {
    public private(set) var instants: [Key: Instant] = [:]
    private var queue: DueQueue<Key>

    /// - Parameter staleEntriesMax: see ``DueQueue``.
    public init(staleEntriesMax: Int = 1024) { queue = DueQueue(staleEntriesMax: staleEntriesMax) }

    public subscript(key: Key) -> Instant? { instants[key] }
    public var count: Int { instants.count }
    /// The memory used, in entries.
    public var queuedCount: Int { queue.count }

    /// Replaces the key's earlier instant, if there is one.
    public mutating func insert(_ key: Key, at instant: Instant) {
        instants[key] = instant
        let instants = instants
        queue.insert(key, at: instant, among: instants.count, instants.lazy.map { ($0.key, $0.value) })
    }

    /// - Returns: whether the key was present.
    public mutating func remove(_ key: Key) -> Bool { instants.removeValue(forKey: key) != nil }

    /// Removes and returns the key that is due first, unless it is due later than `now`.
    public mutating func popFirst(until now: Instant) -> (key: Key, at: Instant)? {
        while let (key, at) = queue.popFirst(until: now) {
            guard instants[key] == at else { continue }
            instants[key] = nil
            return (key, at)
        }
        return nil
    }
}
