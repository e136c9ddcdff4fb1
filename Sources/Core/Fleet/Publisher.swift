import Clock

/// Writes this node's subtree: one transaction at a time, tried again until the store has done it.
struct Publisher: Sendable {
    struct Flight: Sendable {
        var id: UInt64
        var keys: [OwnKey]
        /// Those of them that are put; the others are deleted.
        var put: [OwnKey]
        /// The changes that had left the queue by then.
        var passed: Int
    }

    var queue = PublishQueue()
    private(set) var flight: Flight?
    /// So many of the changes that have left the queue are written.
    private(set) var written = 0
    private var lastID: UInt64 = 0
    private var retryAt = Instant.zero
    private var backOff = BackOff()

    var isIdle: Bool { flight == nil && queue.count == 0 }

    mutating func changed(_ keys: some Sequence<OwnKey>, at now: Instant) {
        for key in keys { queue.insert(key, .change, at: now) }
    }

    /// The next transaction, if it is time. A key's record is the one that it should have now.
    mutating func flush(
        _ own: OwnRecords, settings: FleetSettings, leases: Set<FleetLease>, at now: Instant,
        into actions: inout [FleetAction]
    ) {
        guard flight == nil, leases.contains(.records), retryAt <= now, queue.isDue(at: now) else { return }
        // Its lease may be missing: then the key follows when the lease is granted.
        let keys = queue.take().filter { $0 != .status || leases.contains(.status) }
        guard !keys.isEmpty else { return }
        lastID += 1
        flight = Flight(id: lastID, keys: keys, put: keys.filter { own.record($0) != nil }, passed: queue.passed)
        let operations = keys.compactMap { key -> StoreOperation? in
            guard let name = key.key(pair: settings.pair, node: settings.node) else { return nil }
            return own.record(key).map { StoreOperation.put(name, $0, key == .status ? .status : .records) }
                ?? .delete(name)
        }
        actions.append(.transact(id: lastID, operations))
    }

    /// - Returns: what the store has written; `nil`: nothing.
    mutating func ended(_ id: UInt64, succeeded: Bool, at now: Instant, _ jitter: inout Jitter) -> Flight? {
        guard let flight, flight.id == id else { return nil }
        self.flight = nil
        guard !succeeded else {
            backOff.reset()
            written = flight.passed
            return flight
        }
        // It may have been done all the same: writing it again changes nothing.
        retryAt = now + backOff.next(&jitter)
        changed(flight.keys, at: now)
        return nil
    }

    /// The answer of a transaction under way won't come any more.
    mutating func lost(at now: Instant) {
        guard let flight else { return }
        self.flight = nil
        changed(flight.keys, at: now)
    }
}
