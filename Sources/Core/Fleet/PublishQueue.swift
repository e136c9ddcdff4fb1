import Clock

/// The keys of this node that wait to be published, each once; what is published is decided when they leave.
struct PublishQueue: Sendable {
    enum Urgency: Hashable, Sendable {
        case change
        /// `used` alone: the first to go if the queue is full.
        case refresh
    }

    private var waiting: [OwnKey: Urgency] = [:]
    /// In order of arrival; entries whose key left, or became more urgent, are stale.
    private var changes: [OwnKey] = []
    private var refreshes: [OwnKey] = []
    private(set) var flushAt: Instant?
    private(set) var refreshesDropped = 0
    private(set) var changesDropped = 0
    /// Whether a change was dropped: the node must compare its records with the store's again.
    var hasOverrun = false

    private let max: Int

    init(max: Int = FleetLimits.queueMax) { self.max = max }

    var count: Int { waiting.count }
    var changeCount: Int { changes.count }
    /// How many changes have left the line, in all.
    private(set) var passed = 0

    mutating func insert(_ key: OwnKey, _ urgency: Urgency, at now: Instant) {
        switch waiting[key] {
        case .change?: return
        case .refresh?: if urgency == .refresh { return }
        case nil: guard makeRoom(for: urgency) else { return }
        }
        waiting[key] = urgency
        if urgency == .change { changes.append(key) } else { refreshes.append(key) }
        flushAt = flushAt ?? now + FleetLimits.flushDelay
    }

    private mutating func makeRoom(for urgency: Urgency) -> Bool {
        guard waiting.count >= max else { return true }
        if urgency == .change {
            while let oldest = refreshes.first {
                refreshes.removeFirst()
                guard waiting[oldest] == .refresh else { continue }
                waiting[oldest] = nil
                refreshesDropped += 1
                return true
            }
            changesDropped += 1
            hasOverrun = true
        } else {
            refreshesDropped += 1
        }
        return false
    }

    func isDue(at now: Instant) -> Bool {
        guard let flushAt else { return false }
        return flushAt <= now || waiting.count >= FleetLimits.operationsMax
    }

    /// Removes and returns the keys of one transaction, changes first.
    mutating func take() -> [OwnKey] {
        let limit = FleetLimits.operationsMax
        let before = changes.count
        defer { passed += before - changes.count }
        var keys = Self.pop(&changes, from: &waiting, .change, limit)
        keys += Self.pop(&refreshes, from: &waiting, .refresh, limit - keys.count)
        // A storm's memory is given back.
        if waiting.isEmpty { (flushAt, waiting, changes, refreshes) = (nil, [:], [], []) }
        return keys
    }

    private static func pop(
        _ line: inout [OwnKey], from waiting: inout [OwnKey: Urgency], _ urgency: Urgency, _ limit: Int
    ) -> [OwnKey] {
        var keys: [OwnKey] = []
        var passed = 0
        for key in line {
            guard keys.count < limit else { break }
            passed += 1
            guard waiting[key] == urgency else { continue }
            waiting[key] = nil
            keys.append(key)
        }
        line.removeFirst(passed)
        return keys
    }
}
