import Addresses
import AuditTrail
import Clock
import Firewall
import Policy

extension Gate {
    /// The effects of a transaction that the kernel acknowledged or refused.
    public struct Outcome: Sendable {
        /// The event, if a table that was changed from outside is restored.
        public var restored: AuditEvent?
        public var isTableMade = false
        /// In the order of the transaction: a revoked grant may have been issued anew.
        public var revoked: [Revoked] = []
        public var issued: [Issued] = []
        public var removedStanding: [StandingKey] = []
        /// The calls with one more opening in place; each as often as it has openings.
        public var acknowledged: [Waiter] = []
        public var refused: [(waiters: [Waiter], failure: CommitFailure)] = []
        /// What the kernel didn't take; copies of other nodes' grants may be among it.
        public var refusedIssues: [GrantKey] = []
    }

    public struct Revoked: Sendable {
        public var key: GrantKey
        /// `nil` if the grant has expired meanwhile. Its flows may live on.
        public var grant: Grant?
        /// In words.
        public var why: String?
        /// `nil`: the kernel refused it.
        public var cause: Cause?
    }

    public struct Issued: Sendable {
        public var key: GrantKey
        public var grant: Grant
        public var program: Program
        public var isRenewal: Bool
        /// The client's dropped packet revived the grant.
        public var isRevival: Bool
        /// Another node issued the grant.
        public var isCopy: Bool
        /// A call over UDP asked for it, which may be forged.
        public var isDoubted: Bool
    }

    /// The gathered changes as one transaction, unless one is in flight or there is nothing to do.
    public mutating func nextTransaction(
        quarantined: [IPAddress: Instant], shields: [Transport: Instant], at now: Instant
    ) -> Transaction? {
        if !writer.isTableMade { for (transport, end) in shields { writer.shield(transport, until: end) } }
        return writer.nextTransaction(restoring: ledger, memory, quarantined, at: now)
    }

    /// The kernel refused the transaction in flight.
    public mutating func failed(_ failure: CommitFailure, at now: Instant) -> Outcome {
        let failed = writer.failed(failure, at: now)
        var outcome = Outcome()
        outcome.refused = failed.refused
        outcome.revoked = failed.lost.map {
            revoked($0.key, nil, $0.failure.message, isReturning: false, at: now)
        }
        outcome.refusedIssues = failed.refusedIssues
        return outcome
    }

    /// The kernel acknowledged the transaction in flight.
    public mutating func committed(at now: Instant) -> Outcome {
        let committed = writer.committed()
        var outcome = Outcome()
        for key in committed.restored {
            ledger.begin(key, notBefore: now + lives.whole(isUnproven: ledger.isUnproven(key)))
        }
        outcome.isTableMade = committed.isTableMade
        if committed.isTableMade, isTamperedWith {
            isTamperedWith = false
            outcome.restored = AuditEvent(
                .restored, detail: "table inet \(settings.firewall.table), \(ledger.count) grants")
        }
        outcome.revoked = committed.revoked.map { key in
            let cause = causes.removeValue(forKey: key)
            return revoked(key, cause, isReturning: cause?.mayReturn == true, at: now)
        }
        outcome.issued.reserveCapacity(committed.issued.count)
        for (key, issue) in committed.issued { outcome.issued.append(issued(key, issue, at: now)) }
        outcome.removedStanding = committed.unstood
        outcome.acknowledged = committed.waiters.map(\.id)
        return outcome
    }

    /// - Parameter isReturning: as ``Cause/mayReturn``.
    private mutating func revoked(
        _ key: GrantKey, _ cause: Cause?, _ why: String? = nil, isReturning: Bool, at now: Instant
    ) -> Revoked {
        let why = why ?? cause?.rawValue
        guard let grant = ledger.remove(key) else { return Revoked(key: key, why: why, cause: cause) }
        savingMark += 1
        if isReturning {
            remember(key, grant, at: now)
        } else if cause == .byNode, memory[key]?.note.origin == nil {
            // What the client held of this node is none of the other's business.
        } else {
            forget(key)
        }
        return Revoked(key: key, grant: grant, why: why, cause: cause)
    }

    private mutating func issued(_ key: GrantKey, _ issue: TableWriter.Issue, at now: Instant) -> Issued {
        let old = ledger[key]
        if old == nil { savingMark += 1 }
        var grant = Grant(
            programs: issue.programs, rule: issue.note.rule, issued: issue.note.issued,
            expiresNotBefore: now + issue.timeout)
        if let old { grant.programs.formUnion(old.programs) }
        // A client that has used the grant may be idle for long, and come back.
        // A copy was proven where it was issued.
        grant.isUnproven = issue.isUnproven && old?.isUnproven != false
        grant.isCopy = issue.isCopy && old?.isCopy != false
        ledger.record(key, grant)
        // A forged call must not cost a client the grant that its own packet would revive.
        if !grant.isUnproven, !grant.isCopy { forgetMemory(of: key) }
        return Issued(
            key: key, grant: grant, program: issue.note.program, isRenewal: old != nil || issue.isRevival,
            isRevival: issue.isRevival, isCopy: issue.isCopy, isDoubted: issue.isUnproven)
    }
}
