import Addresses
import Clock
import FleetRecords

/// One node of a fleet: what its daemon tells and what the store tells come in, what is to be done goes out.
///
/// Each event is a method that takes the time and appends actions. The state belongs to parts that know nothing of each
/// other: `OwnRecords` and `Publisher` (towards the store), `ForeignGrants` and `ForeignQuarantines` (towards the
/// daemon), `StoreLink` (the connection) and `StoreMirror` (what the store has of this node).
///
/// Nothing here is waited for by whoever answers a client: the daemon tells, and goes on.
public struct FleetNode: Sendable {
    public let settings: FleetSettings
    private(set) var own = OwnRecords()
    private var publisher = Publisher()
    private(set) var grants: ForeignGrants
    private(set) var quarantines: ForeignQuarantines
    private var link: StoreLink
    private(set) var mirror = StoreMirror()
    private var jitter: Jitter
    private var reconcileAt: Instant
    /// Until the daemon has told what it has, nothing of an earlier life is deleted.
    private var hasHeardDaemon = false
    private var fullReads = 0
    /// How far this host's two clocks are apart; it changes when the time is set.
    private var clocksDistance: Duration
    /// Until then the clock may be a wrong one, as after a boot.
    private var clockSteadyAt: Instant
    /// What has to be judged and written until this node is in step; `nil`: it isn't known yet, or it is in step.
    private var goal: (judged: Int, written: Int)?
    private var hasCaughtUp = false

    public init(_ settings: FleetSettings, seed: UInt64, at now: Moment) {
        self.settings = settings
        grants = ForeignGrants(settings)
        quarantines = ForeignQuarantines(settings)
        link = StoreLink(at: now.instant)
        jitter = Jitter(seed: seed)
        clocksDistance = now.clocksDistance
        clockSteadyAt = now.instant + FleetLimits.clockSteadyAfter
        reconcileAt = now.instant
        planReconcile(at: now.instant)
    }

    public var isConnected: Bool { link.isConnected }
    /// What there was when this connection began, and when the daemon told everything, is read and written: a returning
    /// node may take its address. What happens since doesn't count, else a busy pair would never be in step; but a queue
    /// that grows does.
    public var isSynced: Bool {
        link.isInStep && hasHeardDaemon && hasCaughtUp && !publisher.queue.hasOverrun
            && publisher.queue.count <= FleetLimits.queueMax / 2
    }
    /// Nothing waits to be written or judged.
    public var isIdle: Bool { link.isInStep && hasHeardDaemon && publisher.isIdle && grants.isIdle }
    public var queueCount: Int { publisher.queue.count }

    public var counters: FleetCounters {
        var counters = FleetCounters()
        counters.refreshesDropped = publisher.queue.refreshesDropped
        counters.changesDropped = publisher.queue.changesDropped
        counters.endsDropped = own.endsDropped
        counters.clampedTimes = grants.clampedTimes
        counters.grantsRefused = grants.refused
        counters.quarantinesRefused = quarantines.refused
        counters.fullReads = fullReads
        return counters
    }
}

// MARK: From the daemon

extension FleetNode {
    /// A daemon said hello. It may have lost its copies, and tells what it has; until then nothing is offered to it.
    public mutating func daemonGreeted() { hasHeardDaemon = false }

    /// Published at its first use, or after 5 s.
    public mutating func grantIssued(_ grant: SharedGrant, _ record: GrantRecord, at now: Moment) {
        guard settings.pair != nil, own.issue(grant, record, at: now.instant) else { return }
        grants.forgetCopy(of: grant)
        if own.record(.grant(grant)) != nil { publisher.changed([.grant(grant)], at: now.instant) }
    }

    /// A grant of this node, or a copy, was used; the first use of a copy makes this node publish it too.
    public mutating func grantUsed(_ grant: SharedGrant, at now: Moment) {
        guard settings.pair != nil else { return }
        if own.grants[grant] == nil, let copy = grants.copy(of: grant) {
            let record = GrantRecord(
                issued: copy.issued, used: now.wall, rule: "", keep: copy.keep, origin: copy.origin)
            own.adopt(grant, record)
        }
        let published = mirror.use(of: grant)
        if let urgency = own.use(grant, at: now.wall, published: published) {
            publisher.queue.insert(.grant(grant), urgency, at: now.instant)
        }
    }

    /// A grant or a copy was ended here. This node's policy says nothing about the grant of another.
    public mutating func grantEnded(_ grant: SharedGrant, _ record: EndedRecord, at now: Moment) {
        guard settings.pair != nil else { return }
        let isTold =
            switch record.why {
            case .revoked: true
            case .policy: own.isIssuedHere(grant)
            }
        remove(grant, at: now)
        if isTold {
            own.end(grant, record.clamped(at: now.wall))
            grants.end(grant, record, by: settings.node, at: now)
            publisher.changed([.ended(grant)], at: now.instant)
        }
        grants.judgeAnew(grant)
    }

    /// Its time was over, which says nothing to the others.
    public mutating func grantExpired(_ grant: SharedGrant, at now: Moment) {
        guard settings.pair != nil else { return }
        remove(grant, at: now)
        grants.judgeAnew(grant)
    }

    private mutating func remove(_ grant: SharedGrant, at now: Moment) {
        own.remove(grant)
        publisher.changed([.grant(grant)], at: now.instant)
        grants.forgetCopy(of: grant)
    }

    public mutating func clientQuarantined(_ client: IPAddress, _ record: QuarantineRecord, at now: Moment) {
        own.quarantine(client, record)
        publisher.changed([.quarantine(client)], at: now.instant)
    }

    public mutating func clientReleased(_ client: IPAddress, at now: Moment) {
        own.release(client)
        quarantines.release(client, at: now.instant)
        publisher.changed([.quarantine(client)], at: now.instant)
    }

    public mutating func statusChanged(_ status: NodeStatus, at now: Moment) {
        // The daemon tells it every 10 s; the lease keeps the key.
        guard own.status != status else { return }
        own.status = status
        publisher.changed([.status], at: now.instant)
    }

    /// Everything that the daemon has: at its start, at this process's, and when its ring has overrun.
    ///
    /// - Parameters:
    ///   - live: the grants; those with an origin are copies. Without a pair nothing is told of grants.
    ///   - used: the copies that were used here.
    ///   - ended: what it remembers to have ended.
    public mutating func resynced(
        live: [SharedGrant: GrantRecord], used: Set<SharedGrant>, ended: [SharedGrant: EndedRecord],
        quarantined: [IPAddress: QuarantineRecord], at now: Moment, into actions: inout [FleetAction]
    ) {
        hasHeardDaemon = true
        let isShared = settings.pair != nil
        let (live, ended) = (isShared ? live : [:], isShared ? ended.mapValues { $0.clamped(at: now.wall) } : [:])
        var copies: [SharedGrant: ForeignEntry.Copy] = [:]
        for (grant, record) in live {
            guard let origin = record.origin else { continue }
            copies[grant] = ForeignEntry.Copy(
                issued: record.issued, origin: origin, keep: record.keep,
                isClamped: NodeClocks.isAhead(record.issued, of: now.wall))
        }
        own.replace(
            grants: live.filter { $0.value.origin == nil || used.contains($0.key) }, ended: ended,
            quarantines: quarantined)
        for (grant, record) in ended { grants.end(grant, record, by: settings.node, at: now) }
        grants.replaceCopies(copies, at: now.wall)
        let offers = quarantines.offersAnew(at: now)
        if !offers.isEmpty { actions.append(.offerQuarantines(offers)) }
        reconcile(at: now)
        setGoal()
    }
}

// MARK: From the store

extension FleetNode {
    public mutating func storeConnected(at now: Moment, into actions: inout [FleetAction]) {
        beginRead()
        link.connected(at: now.instant, settings: settings, into: &actions)
    }

    /// The connection, a request beyond its time, or the watch ended.
    public mutating func storeLost(at now: Moment) {
        link.lost(at: now.instant, &jitter)
        publisher.lost(at: now.instant)
    }

    public mutating func pageRead(_ page: StorePage, at now: Moment, into actions: inout [FleetAction]) {
        take(page.records, at: now, into: &actions)
        guard link.pageRead(page, settings: settings, into: &actions) else { return }
        mirror.endRead()
        reconcile(at: now)
        setGoal()
    }

    public mutating func watchOpened(at now: Moment) { link.watchOpened(at: now.instant) }

    public mutating func watched(_ changes: [StoreChange], at now: Moment, into actions: inout [FleetAction]) {
        for change in changes {
            switch change {
            case .put(let key, let record):
                if let key = ownKey(key) { mirror.put(key, record) }
                take(key, record, at: now, into: &actions)
            case .delete(let key):
                // A missing key means nothing. Of this node's own, it is written again at the next comparison.
                if let key = ownKey(key) { mirror.delete(key) }
            }
        }
    }

    /// All is read once more beside the watch, which may have passed over changes.
    public mutating func readingAgain() {
        guard link.isInStep else { return }
        fullReads += 1
        mirror.beginRead()
    }

    /// What is missing of this node's own is written at the next comparison, once the watch has told what came since.
    public mutating func pageReadAgain(
        _ records: [(key: FleetKey, record: FleetRecord)], isLast: Bool, at now: Moment,
        into actions: inout [FleetAction]
    ) {
        // Otherwise it is being read anew in any case.
        guard link.isInStep else { return }
        take(records, at: now, into: &actions)
        if isLast { mirror.endRead() }
    }

    private mutating func take(
        _ records: [(key: FleetKey, record: FleetRecord)], at now: Moment, into actions: inout [FleetAction]
    ) {
        for (key, record) in records {
            if let key = ownKey(key) { mirror.read(key, record) }
            take(key, record, at: now, into: &actions)
        }
    }

    /// The revision to read or to watch is gone: everything is read anew.
    public mutating func compacted(at now: Moment) {
        beginRead()
        link.compacted(at: now.instant, &jitter)
    }

    public mutating func transactionEnded(_ id: UInt64, succeeded: Bool, at now: Moment) {
        if let flight = publisher.ended(id, succeeded: succeeded, at: now.instant, &jitter) {
            mirror.written(flight)
        } else if !hasCaughtUp {
            // They are at the end of the queue now.
            setGoal()
        }
    }

    public mutating func leaseGranted(_ lease: FleetLease, at now: Moment) {
        link.leaseGranted(lease)
        switch lease {
        case .records:
            mirror.detachAll()
            publisher.changed(own.keys, at: now.instant)
            setGoal()
        case .status: if own.status != nil { publisher.changed([.status], at: now.instant) }
        }
    }

    /// It lapsed, and its keys are gone.
    public mutating func leaseLost(_ lease: FleetLease, at now: Moment, into actions: inout [FleetAction]) {
        link.leaseLost(lease, settings: settings, into: &actions)
    }

    private func ownKey(_ key: FleetKey) -> OwnKey? {
        guard key.writer == settings.node else { return nil }
        return switch key {
        case .grant(let pair, _, let grant): pair == settings.pair ? .grant(grant) : nil
        case .ended(let pair, _, let grant): pair == settings.pair ? .ended(grant) : nil
        case .quarantine(_, let client): .quarantine(client)
        case .status, .currentPolicy, .policyPiece, .order: nil
        }
    }

    private mutating func take(
        _ key: FleetKey, _ record: FleetRecord, at now: Moment, into actions: inout [FleetAction]
    ) {
        switch (key, record) {
        case (.grant(let pair, let node, let grant), .grant(let record)):
            if pair == settings.pair, node != settings.node { grants.put(grant, record, of: node, at: now) }
        case (.ended(let pair, let node, let grant), .ended(let record)):
            guard pair == settings.pair else { return }
            grants.end(grant, record, by: node, at: now)
            // Of an earlier life: it still stands.
            if node == settings.node { own.end(grant, record.clamped(at: now.wall)) }
        case (.quarantine(let node, let client), .quarantine(let record)):
            guard node != settings.node, let offer = quarantines.put(client, record, of: node, at: now) else { return }
            actions.append(.offerQuarantines([offer]))
        default: break
        }
    }
}

// MARK: Time

extension FleetNode {
    /// Called at least each ``FleetLimits/tick``, and after each batch of events.
    public mutating func timeAdvanced(at now: Moment, into actions: inout [FleetAction]) {
        noticeSetClock(at: now, into: &actions)
        link.timeAdvanced(at: now.instant, settings: settings, into: &actions)
        // The queue stays half empty for what happens meanwhile.
        let due = own.takeDue(
            at: now.instant, room: FleetLimits.queueMax / 2 - publisher.queue.count,
            early: FleetLimits.operationsMax - publisher.queue.count)
        publisher.changed(due.map(OwnKey.grant), at: now.instant)
        if reconcileAt <= now.instant { reconcile(at: now) }
        importBatch(at: now, into: &actions)
        if publisher.queue.hasOverrun, publisher.isIdle {
            publisher.queue.hasOverrun = false
            reconcile(at: now)
        }
        noticeGoal()
        guard link.isConnected else { return }
        publisher.flush(own, settings: settings, leases: link.leases, at: now.instant, into: &actions)
    }

    /// The time was set, as after a boot with a wrong one: what was clamped, or thought to be over, is judged anew.
    private mutating func noticeSetClock(at now: Moment, into actions: inout [FleetAction]) {
        let change = now.clocksDistance - clocksDistance
        guard NodeClocks.isSet(by: change) else { return }
        clocksDistance = now.clocksDistance
        clockSteadyAt = now.instant + FleetLimits.clockSteadyAfter
        grants.clampAnew(at: now.wall)
        publisher.changed(own.clampEnds(at: now.wall), at: now.instant)
        if link.readAnew(at: now.instant, &jitter) { beginRead() }
        if hasHeardDaemon { actions.append(.hearDaemonAnew) }
    }

    private mutating func beginRead() {
        mirror.beginRead()
        fullReads += 1
        (goal, hasCaughtUp) = (nil, false)
    }

    private mutating func setGoal() {
        guard link.isInStep else { return }
        goal = (grants.judged + grants.waitingCount, publisher.queue.passed + publisher.queue.changeCount)
        hasCaughtUp = false
    }

    private mutating func noticeGoal() {
        guard let goal, hasHeardDaemon, link.isInStep, grants.judged >= goal.judged,
            publisher.isIdle || publisher.written >= goal.written
        else { return }
        (self.goal, hasCaughtUp) = (nil, true)
    }

    private mutating func importBatch(at now: Moment, into actions: inout [FleetAction]) {
        // Before, it isn't known what the daemon has ended itself.
        guard hasHeardDaemon else { return }
        let batch = grants.takeBatch(at: now, isOwn: own.isIssuedHere)
        if !batch.offers.isEmpty { actions.append(.offerGrants(batch.offers)) }
        for offer in batch.offers where own.rebase(offer.grant, on: offer) {
            publisher.changed([.grant(offer.grant)], at: now.instant)
        }
        // A grant that this daemon issued itself is ended by nothing that comes from the fleet.
        for grant in batch.ended where !own.isIssuedHere(grant) {
            actions.append(.endCopy(grant))
            own.remove(grant)
            publisher.changed([.grant(grant)], at: now.instant)
        }
    }

    /// Compares what this node wants in the store with what is there, and forgets what is over.
    private mutating func reconcile(at now: Moment) {
        planReconcile(at: now.instant)
        let endedHolds = now.instant >= clockSteadyAt ? settings.recordsLease : nil
        let expired = own.removeExpired(at: now.wall, endedHolds: endedHolds) { [grants] in grants.isBeaten($0) }
        publisher.changed(expired, at: now.instant)
        let own = own
        grants.prune(at: now.wall) { own.grants[$0] != nil }
        quarantines.prune(at: now.wall)
        guard link.isInStep, hasHeardDaemon else { return }
        publisher.changed(mirror.disagreements(with: own), at: now.instant)
    }

    private mutating func planReconcile(at now: Instant) {
        let interval = FleetLimits.reconcileInterval
        let spread = interval * Int(FleetLimits.reconcileSpreadPercent) / 100
        reconcileAt = now + interval - spread + jitter.duration(upTo: spread * 2)
    }
}
