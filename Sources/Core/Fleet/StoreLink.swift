import Clock

/// The way to the store: connected or not, what has been read, which leases are held.
///
///     waiting ─due─▶ connecting ─connected─▶ reading ─last page─▶ watching
///        ▲─────lost─────┴────────────────────────┴───────────────────┘
struct StoreLink: Sendable {
    enum Phase: Hashable, Sendable {
        case waiting(until: Instant)
        case connecting
        /// The range, and the revision that the first page told.
        case reading(FleetRange, revision: Int64?)
        case watching
    }

    private(set) var phase: Phase
    private(set) var leases: Set<FleetLease> = []
    private(set) var keepAliveAt = Instant.distantFuture
    private var backOff = BackOff()

    init(at now: Instant) { phase = .waiting(until: now) }

    var isConnected: Bool {
        switch phase {
        case .waiting, .connecting: false
        case .reading, .watching: true
        }
    }

    /// What this node should have in the store can be compared with what it has.
    var isInStep: Bool { phase == .watching }

    mutating func timeAdvanced(at now: Instant, into actions: inout [FleetAction]) {
        if case .waiting(let until) = phase, until <= now {
            phase = .connecting
            actions.append(.connect)
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
        read(.pair, nil, settings, into: &actions)
    }

    mutating func lost(at now: Instant, _ jitter: inout Jitter) {
        phase = .waiting(until: now + backOff.next(&jitter))
    }

    /// Reads everything anew, at the newest revision.
    mutating func readAnew(settings: FleetSettings, into actions: inout [FleetAction]) {
        guard isConnected else { return }
        read(.pair, nil, settings, into: &actions)
    }

    private mutating func read(
        _ range: FleetRange, _ revision: Int64?, _ settings: FleetSettings, into actions: inout [FleetAction]
    ) {
        phase = .reading(range, revision: revision)
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
        if range == .pair, settings.acceptsQuarantines {
            read(.quarantines, revision, settings, into: &actions)
            return false
        }
        phase = .watching
        backOff.reset()
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
