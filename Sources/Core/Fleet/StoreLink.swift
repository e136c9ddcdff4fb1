import Clock

/// The way to the store: connected or not, what has been read, which leases are held.
///
///     waiting ─due─▶ connecting ─connected─▶ reading ─last page─▶ watching
///        ▲─────lost─────┴────────────────────────┼───────────────────┤
///                                        ▲       ├─────compacted─────┘
///                                        └─due─ pausing
///
/// A store that refuses the watch, or sends what can't be read, or has compacted what is asked for, costs a full read each
/// time: the back-off begins anew only once the watch has lasted for a while.
struct StoreLink: Sendable {
    enum Phase: Hashable, Sendable {
        case waiting(until: Instant)
        case connecting
        /// The range, and the revision that the first page told.
        case reading(FleetRange, revision: Int64?)
        case watching
        /// Everything is read anew then.
        case pausing(until: Instant)
    }

    private(set) var phase: Phase
    private(set) var leases: Set<FleetLease> = []
    private(set) var keepAliveAt = Instant.distantFuture
    private var backOff = BackOff()
    /// When the back-off begins anew; `nil`: the watch isn't open.
    private var isSteadyAt: Instant?

    init(at now: Instant) { phase = .waiting(until: now) }

    var isConnected: Bool {
        switch phase {
        case .waiting, .connecting: false
        case .reading, .watching, .pausing: true
        }
    }

    /// What this node should have in the store can be compared with what it has.
    var isInStep: Bool { phase == .watching }

    mutating func timeAdvanced(at now: Instant, settings: FleetSettings, into actions: inout [FleetAction]) {
        switch phase {
        case .waiting(let until) where until <= now:
            phase = .connecting
            actions.append(.connect)
        case .pausing(let until) where until <= now: readAll(settings, into: &actions)
        case .waiting, .pausing, .connecting, .reading, .watching: break
        }
        if let isSteadyAt, isSteadyAt <= now {
            self.isSteadyAt = nil
            backOff.reset()
        }
        guard isConnected, keepAliveAt <= now else { return }
        keepAliveAt = now + FleetLimits.keepAliveInterval
        for lease in FleetLease.allCases where leases.contains(lease) { actions.append(.keepLease(lease)) }
    }

    mutating func connected(at now: Instant, settings: FleetSettings, into actions: inout [FleetAction]) {
        keepAliveAt = now + FleetLimits.keepAliveInterval
        for lease in FleetLease.allCases {
            // One that was held before may have lapsed; the answer tells.
            if leases.contains(lease) {
                actions.append(.keepLease(lease))
            } else {
                ask(for: lease, settings, into: &actions)
            }
        }
        readAll(settings, into: &actions)
    }

    private mutating func readAll(_ settings: FleetSettings, into actions: inout [FleetAction]) {
        if let first = settings.ranges.first { read(first, nil, settings, into: &actions) }
    }

    mutating func watchOpened(at now: Instant) {
        if phase == .watching { isSteadyAt = now + FleetLimits.steadyAfter }
    }

    mutating func lost(at now: Instant, _ jitter: inout Jitter) {
        isSteadyAt = nil
        phase = .waiting(until: now + backOff.next(&jitter))
    }

    /// Everything is read anew, at the newest revision, but not at once: a store may say so each time.
    mutating func compacted(at now: Instant, _ jitter: inout Jitter) {
        guard isConnected else { return }
        isSteadyAt = nil
        phase = .pausing(until: now + backOff.next(&jitter))
    }

    /// The same, whatever the store says; not if everything is being read.
    mutating func readAnew(at now: Instant, _ jitter: inout Jitter) -> Bool {
        guard phase == .watching else { return false }
        compacted(at: now, &jitter)
        return true
    }

    private mutating func read(
        _ range: FleetRange, _ revision: Int64?, _ settings: FleetSettings, into actions: inout [FleetAction]
    ) {
        phase = .reading(range, revision: revision)
        isSteadyAt = nil
        actions.append(.read(range, after: nil, revision: revision, max: settings.pageMax))
    }

    /// - Returns: whether that was the last page of all.
    mutating func pageRead(_ page: StorePage, settings: FleetSettings, into actions: inout [FleetAction]) -> Bool {
        guard case .reading(let range, let known) = phase else { return false }
        let revision = known ?? page.revision
        guard page.isLast || page.records.isEmpty else {
            phase = .reading(range, revision: revision)
            actions.append(
                .read(range, after: page.records.last?.key, revision: revision, max: settings.pageMax))
            return false
        }
        if let last = settings.ranges.last, last != range {
            read(last, revision, settings, into: &actions)
            return false
        }
        phase = .watching
        actions.append(.watch(from: revision + 1))
        return true
    }

    mutating func leaseGranted(_ lease: FleetLease) {
        if isConnected { leases.insert(lease) }
    }

    mutating func leaseLost(_ lease: FleetLease, settings: FleetSettings, into actions: inout [FleetAction]) {
        leases.remove(lease)
        if isConnected { ask(for: lease, settings, into: &actions) }
    }

    private func ask(for lease: FleetLease, _ settings: FleetSettings, into actions: inout [FleetAction]) {
        let duration =
            switch lease {
            case .records: settings.recordsLease
            case .status: FleetLimits.statusLease
            }
        actions.append(.grantLease(lease, duration))
    }
}
