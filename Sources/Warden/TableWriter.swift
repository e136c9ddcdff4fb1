import Firewall
import Portmapper

/// Brings the kernel's table to what it should be, one transaction at a time.
///
/// ```
/// settled ──change──▶ dirty ──nextTransaction──▶ in flight ──committed──▶ settled, or dirty again
///                       ▲                            │
///                       └───────── failed ───────────┘
/// ```
/// What arrives while a transaction is in flight shares the next one.
struct TableWriter {
    /// The elements that follow registry and policy.
    struct Elements: Hashable {
        var guarded: Set<ServicePort> = []
        var standing: Set<StandingKey> = []
    }

    struct Issue {
        var note: GrantNote
        var timeout: Duration
        var isRenewal: Bool
        var followers: [Exchange.ID]
    }

    /// What a transaction that ended has done, or not.
    struct Outcome {
        var isTableMade = false
        var issued: [(key: GrantKey, issue: Issue)] = []
        var revoked: [GrantKey] = []
        var unstood: [StandingKey] = []
        /// Exchanges that waited for the elements rather than for a grant.
        var settled: [Exchange.ID] = []
        var refused: [(followers: [Exchange.ID], failure: CommitFailure)] = []
    }

    private enum Origin {
        case elements
        case issue(GrantKey)
        case revocation
    }

    private struct Batch {
        var elements: Elements
        var unstood: [StandingKey]
        var makesTable: Bool
        var issues: [GrantKey: Issue]
        var revocations: [GrantKey]
        var followers: [Exchange.ID]
        var origins: [Origin]
    }

    private(set) var shape: TableShape
    private var desired = Elements()
    /// What the kernel acknowledged; `nil`: the table has to be made.
    private var confirmed: Elements?
    private var issues: [GrantKey: Issue] = [:]
    private var revocations: Set<GrantKey> = []
    private var followers: [Exchange.ID] = []
    private var inFlight: Batch?
    private var failuresInARow = 0
    /// After failures that an immediate repetition can't mend.
    private var notBefore = Instant.zero

    /// Long enough not to spin, short enough to be well within the second that restoring may take.
    private static let pause: Duration = .milliseconds(200)

    init(shape: TableShape) {
        self.shape = shape
    }

    var isTableMade: Bool { confirmed != nil }
    var guarded: Set<ServicePort> { confirmed?.guarded ?? [] }
    private var isDirty: Bool { confirmed != desired }
    /// Nothing waits, and nothing is in flight.
    var isIdle: Bool { !isDirty && issues.isEmpty && revocations.isEmpty && followers.isEmpty && inFlight == nil }

    mutating func shapeReplaced(_ shape: TableShape) {
        guard shape != self.shape else { return }
        self.shape = shape
        confirmed = nil
    }

    /// The table was changed from outside.
    mutating func invalidate() {
        confirmed = nil
        notBefore = .zero
    }

    mutating func desire(_ elements: Elements) {
        desired = elements
    }

    mutating func issue(_ key: GrantKey, _ issue: Issue) {
        revocations.remove(key)
        guard issues[key] == nil, inFlight?.issues[key] == nil else { return follow(key, issue.followers) }
        issues[key] = issue
    }

    private mutating func follow(_ key: GrantKey, _ newcomers: [Exchange.ID]) {
        if inFlight?.issues[key] != nil {
            inFlight?.issues[key]?.followers += newcomers
        } else {
            issues[key]?.followers += newcomers
        }
    }

    mutating func revoke(_ key: GrantKey) {
        revocations.insert(key)
    }

    /// Whether the exchange has to wait until guard and standing elements are in place.
    mutating func joins(_ exchange: Exchange.ID) -> Bool {
        guard isDirty || inFlight != nil else { return false }
        if isDirty || inFlight == nil { followers.append(exchange) } else { inFlight?.followers.append(exchange) }
        return true
    }

    /// The number of grants that wait or are in flight, for the limits.
    var grantsUnderWay: Int { issues.count + (inFlight?.issues.count ?? 0) }

    /// The next transaction, unless one is in flight or nothing is to be done.
    mutating func nextTransaction(restoring ledger: GrantLedger, at now: Instant) -> Transaction? {
        guard inFlight == nil, now >= notBefore else { return nil }
        guard isDirty || !issues.isEmpty || !revocations.isEmpty else { return nil }
        var builder = BatchBuilder()
        if let confirmed {
            builder.change(from: confirmed, to: desired)
        } else {
            builder.make(shape, desired)
            // A revoked grant is simply not restored.
            for (key, grant) in ledger.grants where issues[key] == nil && !revocations.contains(key) {
                builder.restore(key, grant, keep: shape.keep, at: now)
            }
        }
        let gone = revocations.sorted()
        for key in gone { builder.append(.revoke(key), .revocation) }
        for (key, issue) in issues {
            builder.append(
                .issue(key, timeout: issue.timeout, expiresIn: nil, comment: issue.note.description), .issue(key))
        }
        inFlight = Batch(
            elements: desired, unstood: builder.unstood, makesTable: confirmed == nil, issues: issues,
            revocations: gone, followers: followers, origins: builder.origins)
        issues = [:]
        revocations = []
        followers = []
        return Transaction(table: shape.name, operations: builder.operations)
    }

    mutating func committed() -> Outcome {
        guard let batch = inFlight else { return Outcome() }
        inFlight = nil
        confirmed = batch.elements
        failuresInARow = 0
        return Outcome(
            isTableMade: batch.makesTable, issued: batch.issues.map { ($0.key, $0.value) },
            revoked: batch.revocations, unstood: batch.unstood, settled: batch.followers)
    }

    /// Nothing of the transaction was done: drops what the kernel named, and tries the rest again.
    mutating func failed(_ failure: CommitFailure, at now: Instant) -> Outcome {
        guard var batch = inFlight else { return Outcome() }
        inFlight = nil
        failuresInARow += 1
        var outcome = Outcome()
        if let index = failure.operation, case .issue(let key) = batch.origins[index],
            let issue = batch.issues.removeValue(forKey: key)
        {
            outcome.refused = [(issue.followers, failure)]
        } else if failuresInARow == 1 {
            // The table may be gone or changed: make it anew, once, before anybody is refused.
            confirmed = nil
        } else {
            outcome.refused = [(batch.issues.values.flatMap(\.followers) + batch.followers, failure)]
            batch.issues = [:]
            batch.followers = []
            confirmed = nil
            notBefore = now + Self.pause
        }
        issues.merge(batch.issues) { newer, _ in newer }
        revocations.formUnion(batch.revocations)
        followers = batch.followers + followers
        return outcome
    }

    /// Operations, each with where it came from.
    private struct BatchBuilder {
        var operations: [Operation] = []
        var origins: [Origin] = []
        var unstood: [StandingKey] = []

        mutating func append(_ operation: Operation, _ origin: Origin = .elements) {
            operations.append(operation)
            origins.append(origin)
        }

        /// Closes before it opens.
        mutating func change(from old: Elements, to new: Elements) {
            guard old != new else { return }
            unstood = old.standing.subtracting(new.standing).sorted()
            for port in new.guarded.subtracting(old.guarded).sorted() { append(.guardPort(port)) }
            for key in unstood { append(.unstand(key)) }
            for key in new.standing.subtracting(old.standing).sorted() { append(.stand(key)) }
            for port in old.guarded.subtracting(new.guarded).sorted() { append(.unguardPort(port)) }
        }

        mutating func make(_ shape: TableShape, _ elements: Elements) {
            append(.makeTable(shape))
            change(from: Elements(), to: elements)
        }

        mutating func restore(_ key: GrantKey, _ grant: Grant, keep: Duration, at now: Instant) {
            let note = GrantNote(
                program: grant.programs.min() ?? Program(0), issued: grant.issued, rule: grant.rule)
            let left = grant.expiresNotBefore - now
            append(
                .issue(
                    key, timeout: keep, expiresIn: left > .zero && left < keep ? left : nil,
                    comment: note.description))
        }
    }
}
