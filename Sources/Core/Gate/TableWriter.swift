import Addresses
import Clock
import Firewall

/// Keeps the kernel's table as it should be, one transaction at a time.
///
/// ```
/// settled ──change──▶ dirty ──nextTransaction──▶ in flight ──committed──▶ settled, or dirty again
///                       ▲                            │
///                       └───────── failed ───────────┘
/// ```
/// Changes that arrive while a transaction is in flight share the next one.
struct TableWriter: Sendable {
    typealias Elements = Gate.Elements

    struct Issue {
        var note: GrantNote
        /// The programs that use the port; several programs may share one.
        var programs: Programs
        var timeout: Duration
        /// The kernel doesn't hold the element, as far as the daemon knows; adding a new element is cheaper.
        var isNew = false
        /// The client's dropped packet revived the grant.
        var isRevival = false
        /// A call over UDP asked for the grant; its source address may be forged.
        var isUnproven = false
        /// Another node issued the grant; no client asked here.
        var isCopy = false

        /// Merges two issues of one grant; the longer life counts.
        mutating func join(_ other: Issue) {
            programs.formUnion(other.programs)
            if isCopy, !other.isCopy {
                note = other.note
                isCopy = false
            }
            guard other.timeout > timeout else { return }
            (timeout, isUnproven) = (other.timeout, other.isUnproven)
        }
    }

    /// The effects of a transaction that was committed or refused.
    struct Outcome {
        var isTableMade = false
        var issued: [GrantKey: Issue] = [:]
        var revoked: [GrantKey] = []
        /// Restored grants; their life begins anew in a table that was made anew.
        var restored: [GrantKey] = []
        /// Grants that the kernel refused to restore.
        var lost: [(key: GrantKey, failure: CommitFailure)] = []
        var unstood: [StandingKey] = []
        /// Waiters of a committed transaction; their grants and elements are in place.
        var waiters: [Waiter] = []
        var refused: [(waiters: [Gate.Waiter], failure: CommitFailure)] = []
        /// What was given up; copies of other nodes' grants may be among it.
        var refusedIssues: [GrantKey] = []
    }

    /// A call that waits for a grant, or with `nil` for guard and standing elements.
    struct Waiter {
        var id: Gate.Waiter
        var key: GrantKey?
    }

    fileprivate struct Batch {
        var elements: Elements
        var touched: Elements?
        var unstood: [StandingKey]
        var makesTable: Bool
        var keepsGrants: Bool
        var issues: [GrantKey: Issue]
        var revocations: [GrantKey]
        var memories: [GrantKey: GrantMemory.Entry?]
        var quarantines: [IPAddress: Instant?]
        var shields: [Transport: Instant]
        var unshields: Bool
        var waiters: [Waiter]
        var operations: [Operation]
        var putTogetherAt: Instant
        /// The table was changed from outside, or its shape was replaced, since the transaction was put together.
        var isOutdated = false
    }

    private(set) var shape: TableShape
    private var desired = Elements()
    /// The elements that the kernel acknowledged last.
    private var confirmed = Elements()
    /// The elements in which `desired` may differ from `confirmed`, or from the transaction in flight; `nil`: any. The
    /// change of one server needn't compare the elements of all.
    private var touched: Elements? = Elements()
    /// Whether the table is in place. If not, it has to be made, whatever the kernel acknowledged.
    private(set) var isTableMade = false
    private var issues: [GrantKey: Issue] = [:]
    /// The number of issues that wait or are in flight, by client.
    private var issuesOfClient: [IPAddress: Int] = [:]
    private var revocations: Set<GrantKey> = []
    /// Entries to remember in the kernel, or with `nil` to forget.
    private var memories: [GrantKey: GrantMemory.Entry?] = [:]
    /// Clients to quarantine, with the end of each quarantine; `nil`: to release.
    private var quarantines: [IPAddress: Instant?] = [:]
    /// The transports over which strangers are kept from the portmapper, each with its end.
    private var shields: [Transport: Instant] = [:]
    /// Whether the next transaction removes all shields.
    private var unshields = false
    private var waiters: [Waiter] = []
    private var inFlight: Batch? { didSet { isInFlight = inFlight != nil } }
    /// Asked by each call; a comparison of the batch with `nil` copies it (Swift 6.3).
    private var isInFlight = false
    private var lastComment: (note: GrantNote, comment: String)?
    /// The table was found with the ledger's grants in it, which may stay.
    private var keepsGrants = false
    private var failuresInARow = 0
    /// The earliest time of the next transaction, after a failure that an immediate retry can't mend.
    private var notBefore = Instant.zero
    private var madeAt = Instant(nanoseconds: .min / 2)

    /// A table that can't be made must not gather without end what came and went.
    private static let touchedMax = 4096
    /// Long enough not to spin, short enough to be well within the second that restoring may take.
    private static let pause: Duration = .milliseconds(200)

    init(shape: TableShape) {
        self.shape = shape
    }

    var guarded: Set<ServicePort> { isTableMade ? confirmed.guarded : [] }
    var desiredStanding: Set<StandingKey> { desired.standing }
    // Inlined, so that no call has the writer copied (docs/HACKING.md).
    @inline(__always)
    private var isDirty: Bool { !isTableMade || !isUntouched && isChanged }
    @inline(__always)
    private var isUntouched: Bool { touched?.isEmpty == true }
    @inline(__always)
    private var isChanged: Bool { Self.differs(confirmed, desired, among: touched) }
    private static func differs(_ one: Elements, _ other: Elements, among touched: Elements?) -> Bool {
        guard let touched else { return one != other }
        return touched.guarded.contains { one.guarded.contains($0) != other.guarded.contains($0) }
            || touched.standing.contains { one.standing.contains($0) != other.standing.contains($0) }
    }
    /// Guard and standing elements are in place; no call has to wait for them.
    @inline(__always)
    var isSettled: Bool { !isInFlight && !isDirty }
    /// Whether the service is guarded as it should be, and its range, if it has one, stays in place, whatever is
    /// under way.
    func isUnaffectedByPending(_ service: ServicePort, standing range: StandingKey?) -> Bool {
        guard isTableMade, inFlight?.makesTable != true,
            confirmed.guarded.contains(service) == desired.guarded.contains(service)
        else { return false }
        guard let range else { return true }
        return confirmed.standing.contains(range) && desired.standing.contains(range)
            && inFlight?.elements.standing.contains(range) != false
    }

    mutating func hasNothingToDo() -> Bool { isIdle }

    /// Nothing waits, and nothing is in flight.
    @inline(__always)
    var isIdle: Bool {
        !isDirty && issues.isEmpty && revocations.isEmpty && memories.isEmpty && quarantines.isEmpty
            && shields.isEmpty && !unshields && waiters.isEmpty && !isInFlight
    }

    /// The table that was found holds exactly the ledger's grants, and they may stay: the table is adopted with
    /// them.
    mutating func keepGrants() { keepsGrants = true }

    mutating func shapeReplaced(_ shape: TableShape) {
        guard shape != self.shape else { return }
        self.shape = shape
        remake()
    }

    /// The table was changed from outside. It is restored a few times a second at most.
    mutating func invalidate(at now: Instant) {
        remake()
        notBefore = madeAt + Self.pause > now ? madeAt + Self.pause : now
    }

    private mutating func remake() {
        isTableMade = false
        inFlight?.isOutdated = true
    }

    mutating func desire(_ elements: Elements) {
        // Sets that share their storage compare in constant time.
        guard elements != desired else { return }
        desired = elements
        touched = nil
    }

    /// The guarded ports and standing elements of one server take the place of its former ones.
    mutating func desire(_ elements: Elements, inPlaceOf former: Elements) {
        for port in former.guarded.subtracting(elements.guarded) {
            desired.guarded.remove(port)
            touched?.guarded.insert(port)
        }
        for port in elements.guarded.subtracting(former.guarded) {
            desired.guarded.insert(port)
            touched?.guarded.insert(port)
        }
        for key in former.standing.subtracting(elements.standing) {
            desired.standing.remove(key)
            touched?.standing.insert(key)
        }
        for key in elements.standing.subtracting(former.standing) {
            desired.standing.insert(key)
            touched?.standing.insert(key)
        }
        if let touched, touched.guarded.count + touched.standing.count > Self.touchedMax { self.touched = nil }
    }

    mutating func keepStanding(_ standing: Set<StandingKey>) {
        desired.standing = standing
        touched = nil
    }

    /// A pending revocation of the grant precedes its issue, so that the flows are cut.
    mutating func issue(_ key: GrantKey, _ issue: Issue, for waiter: Gate.Waiter? = nil) {
        let waiter = waiter.map { Waiter(id: $0, key: key) }
        var issue = issue
        if let flying = inFlight?.issues[key] {
            if flying.timeout >= issue.timeout, !revocations.contains(key), !flying.isCopy || issue.isCopy {
                inFlight?.issues[key]?.programs.formUnion(issue.programs)
                if let waiter { inFlight?.waiters.append(waiter) }
                return
            }
            issue.isNew = false
        }
        if let waiter { waiters.append(waiter) }
        if let place = issues.index(forKey: key) {
            issues.values[place].join(issue)
        } else {
            issues[key] = issue
            issuesOfClient[key.client] = grantsUnderWay(of: key.client) + 1
        }
    }

    private mutating func ended(_ key: GrantKey) {
        let left = grantsUnderWay(of: key.client) - 1
        issuesOfClient[key.client] = left > 0 ? left : nil
    }

    mutating func revoke(_ key: GrantKey) {
        revocations.insert(key)
    }

    mutating func remember(_ key: GrantKey, _ entry: GrantMemory.Entry) {
        memories[key] = .some(entry)
    }

    mutating func forget(_ key: GrantKey) {
        memories[key] = .some(nil)
    }

    mutating func quarantine(_ client: IPAddress, until end: Instant) {
        quarantines[client] = .some(end)
    }

    mutating func shield(_ transport: Transport, until end: Instant) {
        shields[transport] = end
        unshields = false
    }

    mutating func unshield() {
        unshields = shields.isEmpty
    }

    mutating func release(_ client: IPAddress) {
        quarantines[client] = .some(nil)
    }

    /// Whether the call has to wait until guard and standing elements are in place.
    mutating func awaitsElements(_ waiter: Gate.Waiter) -> Bool {
        if let batch = inFlight, !batch.isOutdated, batch.elements == desired {
            inFlight?.waiters.append(Waiter(id: waiter))
            return true
        }
        guard isDirty || inFlight != nil else { return false }
        waiters.append(Waiter(id: waiter))
        return true
    }

    /// The number of grants that wait or are in flight, for the limits.
    var grantsUnderWay: Int { issues.count + (inFlight?.issues.count ?? 0) }
    /// The number of grants that the next transaction revokes, before it issues others.
    var revocationsWaiting: Int { revocations.count }
    func grantsUnderWay(of client: IPAddress) -> Int { issuesOfClient[client] ?? 0 }
    // docs/HACKING.md, "Rules of the house".
    @inline(__always)
    func isRevoking(_ key: GrantKey) -> Bool {
        revocations.contains(key) || inFlight?.revocations.contains(key) == true
    }
    func isUnderWay(_ key: GrantKey) -> Bool { issues[key] != nil || inFlight?.issues[key] != nil }

    /// The next transaction, unless one is in flight or there is nothing to do.
    mutating func nextTransaction(
        restoring ledger: GrantLedger, _ memory: GrantMemory = GrantMemory(),
        _ quarantined: [IPAddress: Instant] = [:], at now: Instant
    ) -> Transaction? {
        guard inFlight == nil, now >= notBefore else { return nil }
        // A transaction without operations releases calls that wait for elements that are no longer wanted.
        guard
            isDirty || !issues.isEmpty || !revocations.isEmpty || !waiters.isEmpty || !memories.isEmpty
                || !quarantines.isEmpty || !shields.isEmpty || unshields
        else {
            return nil
        }
        var builder = BatchBuilder(last: lastComment)
        builder.operations.reserveCapacity(issues.count)
        if isTableMade {
            builder.change(
                from: confirmed, to: desired, among: touched, exchanging: shape.management == .guardPorts)
        } else {
            builder.make(shape, desired, leavingGrants: keepsGrants)
            builder.unstood = confirmed.standing.subtracting(desired.standing).sorted()
            if !keepsGrants { restore(ledger, at: now, into: &builder) }
            memories = memory.entries.mapValues { .some($0) }
            quarantines = quarantined.mapValues { .some($0) }
        }
        builder.keep(memories, at: now)
        builder.keep(quarantines, at: now)
        // The clients that a shield lets through must be in the sets before the shield is in force.
        let raised = isDirty ? [:] : shields
        for (transport, end) in raised where end > now {
            builder.operations.append(.shield(transport, timeout: end - now))
        }
        if unshields { builder.operations.append(.unshield) }
        let gone = revocations.sorted()
        for key in gone { builder.operations.append(.revoke(key)) }
        for (key, issue) in issues { builder.issue(key, issue) }
        lastComment = builder.last
        inFlight = Batch(
            elements: desired, touched: touched, unstood: builder.unstood, makesTable: !isTableMade,
            keepsGrants: keepsGrants, issues: issues, revocations: gone, memories: memories, quarantines: quarantines,
            shields: raised,
            unshields: unshields, waiters: waiters, operations: builder.operations, putTogetherAt: now)
        touched = Elements()
        keepsGrants = false
        issues = [:]
        revocations = []
        memories = [:]
        quarantines = [:]
        if !raised.isEmpty { shields = [:] }
        unshields = false
        waiters = []
        return Transaction(table: shape.name, operations: builder.operations)
    }

    private func restore(_ ledger: GrantLedger, at now: Instant, into builder: inout BatchBuilder) {
        builder.operations.reserveCapacity(builder.operations.count + ledger.count)
        // A revoked grant is simply not restored.
        for (key, grant) in ledger.all where issues[key] == nil && !revocations.contains(key) {
            builder.restore(key, grant, keep: shape.keep, at: now)
        }
    }

    /// When the transaction in flight was put together.
    var inFlightSince: Instant? { inFlight?.putTogetherAt }

    mutating func committed() -> Outcome {
        guard let batch = inFlight.take() else { return Outcome() }
        confirmed = batch.elements
        isTableMade = !batch.isOutdated
        failuresInARow = 0
        if batch.makesTable { madeAt = batch.putTogetherAt }
        for key in batch.issues.keys { ended(key) }
        return Outcome(
            isTableMade: batch.makesTable, issued: batch.issues, revoked: batch.revocations,
            restored: batch.makesTable ? batch.restored : [], unstood: batch.unstood, waiters: batch.waiters)
    }

    /// Nothing of the transaction was done: drops the grant that the kernel named, and tries the rest again.
    mutating func failed(_ failure: CommitFailure, at now: Instant) -> Outcome {
        guard var batch = inFlight.take() else { return Outcome() }
        if let former = batch.touched {
            touched?.guarded.formUnion(former.guarded)
            touched?.standing.formUnion(former.standing)
        } else {
            touched = nil
        }
        var outcome = Outcome()
        // The table may be gone or changed, whatever the kernel named: it is made anew, once, before any call
        // is refused.
        if batch.keepsGrants {
            isTableMade = false
        } else if failure.kind == .full || failuresInARow > 0, let named = batch.named(by: failure) {
            switch named {
            case .issue(let key):
                batch.issues[key] = nil
                // A copy, maybe, which a call here has made this node's own.
                outcome.refusedIssues = [key]
                outcome.refused = [(batch.waiters.filter { $0.key == key }.map(\.id), failure)]
                batch.waiters.removeAll { $0.key == key }
                ended(key)
            case .restoration(let key): outcome.lost = [(key, failure)]
            }
        } else if failuresInARow == 0 {
            failuresInARow = 1
            isTableMade = false
        } else {
            outcome.refused = [(batch.waiters.map(\.id), failure)]
            outcome.refusedIssues = Array(batch.issues.keys)
            for key in batch.issues.keys { ended(key) }
            batch.issues = [:]
            batch.waiters = []
            isTableMade = false
            notBefore = now + Self.pause
        }
        for (key, issue) in batch.issues {
            guard issues[key] != nil else {
                issues[key] = issue
                continue
            }
            issues[key]?.join(issue)
            ended(key)
        }
        revocations.formUnion(batch.revocations)
        memories.merge(batch.memories) { newer, _ in newer }
        quarantines.merge(batch.quarantines) { newer, _ in newer }
        shields.merge(batch.shields) { newer, _ in newer }
        unshields = (unshields || batch.unshields) && shields.isEmpty
        waiters = batch.waiters + waiters
        return outcome
    }

    /// Removing one range from a set costs the kernel up to 3 µs for each range in the set. Above this product,
    /// all ranges are replaced instead, and no call waits for that.
    static let unstoodTimesStandingMax = 2000

    private struct BatchBuilder {
        var operations: [Operation] = []
        var unstood: [StandingKey] = []
        /// The last note with its text; the notes of one second are nearly always equal.
        var last: (note: GrantNote, comment: String)?

        private mutating func comment(_ note: GrantNote) -> String {
            if let last, last.note == note { return last.comment }
            let comment = note.description
            last = (note, comment)
            return comment
        }

        /// Appends the operations that close ports before the ones that open them.
        ///
        /// - Parameters:
        ///   - touched: the elements that may differ; `nil`: any.
        ///   - exchanging: whether many ranges may be replaced at once, which needs our own rules.
        mutating func change(
            from old: Elements, to new: Elements, among touched: Elements? = nil, exchanging: Bool = false
        ) {
            if touched?.isEmpty == true || touched == nil && old == new { return }
            let (before, after) = (touched?.intersection(old) ?? old, touched?.intersection(new) ?? new)
            unstood = before.standing.subtracting(after.standing).sorted()
            for port in after.guarded.subtracting(before.guarded).sorted() { operations.append(.guardPort(port)) }
            if exchanging, unstood.count * old.standing.count > TableWriter.unstoodTimesStandingMax {
                operations.append(.replaceStanding)
                for key in new.standing.sorted() { operations.append(.addStanding(key)) }
            } else {
                for key in unstood { operations.append(.removeStanding(key)) }
                for key in after.standing.subtracting(before.standing).sorted() { operations.append(.addStanding(key)) }
            }
            for port in before.guarded.subtracting(after.guarded).sorted() { operations.append(.unguardPort(port)) }
            // The kernel's interval sets take no overlaps.
            for key in before.callers.subtracting(after.callers).sorted() { operations.append(.removeCallers(key)) }
            for key in after.callers.subtracting(before.callers).sorted() { operations.append(.addCallers(key)) }
        }

        mutating func make(_ shape: TableShape, _ elements: Elements, leavingGrants: Bool) {
            operations.append(leavingGrants ? .adoptTable(shape) : .makeTable(shape))
            change(from: Elements(), to: elements)
        }

        mutating func keep(_ memories: [GrantKey: GrantMemory.Entry?], at now: Instant) {
            for (key, entry) in memories {
                guard let entry, entry.until > now else {
                    operations.append(.forget(key))
                    continue
                }
                operations.append(.remember(key, timeout: entry.until - now, comment: comment(entry.note)))
            }
        }

        mutating func keep(_ quarantines: [IPAddress: Instant?], at now: Instant) {
            for (client, end) in quarantines {
                guard let end, end > now else {
                    operations.append(.release(client))
                    continue
                }
                operations.append(.quarantine(client, timeout: end - now))
            }
        }

        mutating func issue(_ key: GrantKey, _ issue: Issue) {
            let comment = comment(issue.note)
            operations.append(
                issue.isNew
                    ? .issueNew(key, timeout: issue.timeout, comment: comment)
                    : .issue(key, timeout: issue.timeout, expiresIn: nil, comment: comment))
        }

        mutating func restore(_ key: GrantKey, _ grant: Grant, keep: Duration, at now: Instant) {
            let left = grant.expiresNotBefore - now
            let life = grant.isUnproven ? min(keep, GrantLives.unprovenMax) : keep
            operations.append(
                .issue(
                    key, timeout: life, expiresIn: left > .zero && left < life ? left : nil,
                    comment: comment(GrantNote(grant))))
        }
    }
}

extension Gate.Elements {
    fileprivate var isEmpty: Bool { guarded.isEmpty && standing.isEmpty && callers.isEmpty }

    /// The elements that `other` has too.
    fileprivate func intersection(_ other: Self) -> Self {
        Gate.Elements(
            guarded: guarded.intersection(other.guarded), standing: standing.intersection(other.standing),
            callers: callers.intersection(other.callers))
    }
}

extension TableWriter.Batch {
    fileprivate enum Grant {
        case issue(GrantKey)
        case restoration(GrantKey)
    }

    /// The one grant that the kernel refused, if it named one.
    fileprivate func named(by failure: CommitFailure) -> Grant? {
        guard let index = failure.operation, operations.indices.contains(index) else { return nil }
        return operations[index].issued.map { issues[$0] == nil ? .restoration($0) : .issue($0) }
    }

    fileprivate var restored: [GrantKey] {
        operations.compactMap { operation in
            guard case .issue(let key, _, expiresIn: nil, _) = operation, issues[key] == nil else { return nil }
            return key
        }
    }
}
