import Addresses
import Clock

/// One node of a fleet: what its daemon tells and what the store tells come in, what is to be done goes out.
///
/// Each event is a method that takes the time and appends actions. The state belongs to parts that know nothing of each
/// other: `OwnRecords` and `Publisher` (towards the store), `ForeignGrants` and `ForeignQuarantines` (towards the
/// daemon), `StoreLink` (the connection) and `StoreMirror` (what the store has of this node).
///
/// Nothing here is waited for by whoever answers a client: the daemon tells, and goes on.
public struct FleetNode: Sendable {
    let settings: FleetSettings
    private var own = OwnRecords()
    private var publisher = Publisher()
    private var grants: ForeignGrants
    private var quarantines: ForeignQuarantines
    private var link: StoreLink
    private var mirror = StoreMirror()
    private var jitter: Jitter
    private var reconcileAt: Instant
    /// Until the daemon has told what it has, nothing of an earlier life is deleted.
    private var hasHeardDaemon = false
    private var fullReads = 0

    public init(_ settings: FleetSettings, seed: UInt64, at now: Moment) {
        self.settings = settings
        grants = ForeignGrants(settings)
        quarantines = ForeignQuarantines(settings)
        link = StoreLink(at: now.instant)
        jitter = Jitter(seed: seed)
        reconcileAt = now.instant
        planReconcile(at: now.instant)
    }

    public var isConnected: Bool { link.isConnected }
    /// Everything was read, and everything of this node is written: a returning node may take its address.
    public var isSynced: Bool { link.isInStep && hasHeardDaemon && publisher.isIdle && grants.isIdle }
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
    /// Published at its first use, or after 5 s.
    public mutating func grantIssued(_ grant: SharedGrant, _ record: GrantRecord, at now: Moment) {
        guard own.issue(grant, record, at: now.instant) else { return }
        grants.forgetCopy(of: grant)
        if own.record(.grant(grant)) != nil { publisher.changed([.grant(grant)], at: now.instant) }
    }

    /// A grant of this node, or a copy, was used; the first use of a copy makes this node publish it too.
    public mutating func grantUsed(_ grant: SharedGrant, at now: Moment) {
        if own.grants[grant] == nil, let copy = grants.copy(of: grant) {
            let record = GrantRecord(
                issued: copy.issued, used: now.wall, rule: "", keep: copy.keep, origin: copy.origin)
            own.adopt(grant, record)
        }
        let published = mirror.use(of: grant)?.used
        if let urgency = own.use(grant, at: now.wall, published: published) {
            publisher.queue.insert(.grant(grant), urgency, at: now.instant)
        }
    }

    /// A grant or a copy ended here. Its time being over says nothing to the others, nor does this node's policy about
    /// the grant of another.
    public mutating func grantEnded(_ grant: SharedGrant, _ why: EndedRecord.Reason, at now: Moment) {
        let isTold =
            switch why {
            case .revoked: true
            case .policy: own.isIssuedHere(grant)
            case .expired: false
            }
        own.remove(grant)
        publisher.changed([.grant(grant)], at: now.instant)
        grants.forgetCopy(of: grant)
        if isTold {
            let record = EndedRecord(at: now.wall, why: why)
            own.end(grant, record)
            grants.end(grant, record, by: settings.node, at: now)
            publisher.changed([.ended(grant)], at: now.instant)
        }
        grants.judgeAnew(grant)
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
        own.status = status
        publisher.changed([.status], at: now.instant)
    }

    /// Everything that the daemon has: at its start, at this process's, and when its ring has overrun.
    ///
    /// - Parameters:
    ///   - live: the grants; those with an origin are copies.
    ///   - used: the copies that were used here.
    ///   - ended: what it remembers to have ended.
    public mutating func resynced(
        live: [SharedGrant: GrantRecord], used: Set<SharedGrant>, ended: [SharedGrant: EndedRecord],
        quarantined: [IPAddress: QuarantineRecord], at now: Moment, into actions: inout [FleetAction]
    ) {
        hasHeardDaemon = true
        var copies: [SharedGrant: ForeignEntry.Copy] = [:]
        for (grant, record) in live {
            guard let origin = record.origin else { continue }
            copies[grant] = ForeignEntry.Copy(
                issued: record.issued, origin: origin, keep: record.keep,
                isClamped: record.issued > now.wall + FleetLimits.futureMax)
        }
        own.replace(
            grants: live.filter { $0.value.origin == nil || used.contains($0.key) }, ended: ended,
            quarantines: quarantined)
        for (grant, record) in ended { grants.end(grant, record, by: settings.node, at: now) }
        grants.replaceCopies(copies)
        let offers = quarantines.offersAnew(at: now)
        if !offers.isEmpty { actions.append(.offerQuarantines(offers)) }
        reconcile(at: now)
    }
}

// MARK: From the store

extension FleetNode {
    public mutating func storeConnected(at now: Moment, into actions: inout [FleetAction]) {
        mirror.beginRead()
        fullReads += 1
        link.connected(at: now.instant, settings: settings, into: &actions)
    }

    /// The connection, a request beyond its time, or the watch ended.
    public mutating func storeLost(at now: Moment) {
        link.lost(at: now.instant, &jitter)
        publisher.lost(at: now.instant)
    }

    public mutating func pageRead(_ page: StorePage, at now: Moment, into actions: inout [FleetAction]) {
        for (key, record) in page.records {
            if let key = ownKey(key) { mirror.read(key, record) }
            take(key, record, at: now, into: &actions)
        }
        guard link.pageRead(page, settings: settings, into: &actions) else { return }
        mirror.endRead()
        reconcile(at: now)
    }

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

    /// The revision to read or to watch is gone: everything is read anew.
    public mutating func compacted(at now: Moment, into actions: inout [FleetAction]) {
        mirror.beginRead()
        fullReads += 1
        link.readAnew(settings: settings, into: &actions)
    }

    public mutating func transactionEnded(_ id: UInt64, succeeded: Bool, at now: Moment) {
        mirror.attach(publisher.ended(id, succeeded: succeeded, at: now.instant, &jitter))
    }

    public mutating func leaseGranted(_ lease: FleetLease, at now: Moment) {
        link.leaseGranted(lease)
        switch lease {
        case .records:
            mirror.detachAll()
            publisher.changed(own.keys, at: now.instant)
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
        case (.grant(settings.pair, let node, let grant), .grant(let record)):
            if node != settings.node { grants.put(grant, record, of: node, at: now) }
        case (.ended(settings.pair, let node, let grant), .ended(let record)):
            grants.end(grant, record, by: node, at: now)
            // Of an earlier life: it still stands.
            if node == settings.node { own.end(grant, record) }
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
        link.timeAdvanced(at: now.instant, into: &actions)
        publisher.changed(own.takeDue(at: now.instant).map(OwnKey.grant), at: now.instant)
        if reconcileAt <= now.instant { reconcile(at: now) }
        importBatch(at: now, into: &actions)
        if publisher.queue.hasOverrun, publisher.isIdle {
            publisher.queue.hasOverrun = false
            reconcile(at: now)
        }
        guard link.isConnected else { return }
        publisher.flush(own, settings: settings, leases: link.leases, at: now.instant, into: &actions)
    }

    private mutating func importBatch(at now: Moment, into actions: inout [FleetAction]) {
        // Before, it isn't known what the daemon has ended itself.
        guard hasHeardDaemon else { return }
        let own = own
        let batch = grants.takeBatch(at: now) { own.isIssuedHere($0) }
        if !batch.offers.isEmpty { actions.append(.offerGrants(batch.offers)) }
        for offer in batch.offers where self.own.rebase(offer.grant, on: offer) {
            publisher.changed([.grant(offer.grant)], at: now.instant)
        }
        // A grant that this daemon issued itself is ended by nothing that comes from the fleet.
        for grant in batch.ended where !own.isIssuedHere(grant) {
            actions.append(.endCopy(grant))
            self.own.remove(grant)
            publisher.changed([.grant(grant)], at: now.instant)
        }
    }

    /// Compares what this node wants in the store with what is there, and forgets what is over.
    private mutating func reconcile(at now: Moment) {
        planReconcile(at: now.instant)
        publisher.changed(
            own.removeExpired(at: now.wall, endedHolds: settings.recordsLease), at: now.instant)
        grants.prune(at: now.wall)
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
