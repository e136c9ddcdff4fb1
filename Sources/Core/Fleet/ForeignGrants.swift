import Clock
import FleetRecords

/// The grants of the other nodes of the pair, and which of them the daemon was offered.
///
/// A deletion never comes here: a missing key means nothing.
struct ForeignGrants: Sendable {
    private var entries: [SharedGrant: ForeignEntry] = [:]
    /// To be judged, and offered, with the next batch; each once.
    private var waiting: [SharedGrant] = []
    private var isWaiting: Set<SharedGrant> = []
    private var nextBatch = Instant.zero
    private var copyCount = 0
    /// Of all entries.
    private var recordCount = 0
    /// Whether a grant was not offered because there were too many: it may be later.
    private var hasLeftOut = false
    private(set) var clampedTimes = 0
    private(set) var refused = 0

    let grantsMax: Int
    let endedHolds: Duration

    init(_ settings: FleetSettings) {
        grantsMax = settings.grantsMax
        endedHolds = settings.recordsLease
    }

    /// Whether everything that was read has been judged.
    var isIdle: Bool { waiting.isEmpty }
    var waitingCount: Int { waiting.count }
    /// How many have left the line, in all.
    private(set) var judged = 0

    mutating func put(_ grant: SharedGrant, _ record: GrantRecord, of node: String, at now: Moment) {
        change(grant, isKnown: entries[grant]?.sources[node] != nil) { $0.put(record, of: node, at: now.wall) }
    }

    mutating func end(_ grant: SharedGrant, _ record: EndedRecord, by node: String, at now: Moment) {
        change(grant, isKnown: entries[grant]?.ended[node] != nil) { $0.end(record, by: node, at: now.wall) }
    }

    private mutating func change(_ grant: SharedGrant, isKnown: Bool, _ body: (inout ForeignEntry) -> Bool?) {
        // Ended grants and live ones: twice as many entries as there may be grants.
        guard entries[grant] != nil || entries.count < 2 * grantsMax,
            isKnown || recordCount < FleetLimits.foreignRecordsFactor * grantsMax,
            let isClamped = body(&entries[grant, default: .init()])
        else {
            refused += 1
            return
        }
        if !isKnown { recordCount += 1 }
        if isClamped { clampedTimes += 1 }
        wait(grant)
    }

    /// This host's clock was set.
    mutating func clampAnew(at now: Timestamp) {
        for grant in entries.keys { entries[grant]?.clampAnew(at: now) }
        for grant in entries.keys.sorted() { wait(grant) }
    }

    private mutating func wait(_ grant: SharedGrant) {
        if isWaiting.insert(grant).inserted { waiting.append(grant) }
    }

    /// The grant of this node ended: another node's may take its place.
    mutating func judgeAnew(_ grant: SharedGrant) {
        if entries[grant] != nil { wait(grant) }
    }

    var grants: Dictionary<SharedGrant, ForeignEntry>.Keys { entries.keys }

    func entry(of grant: SharedGrant) -> ForeignEntry? { entries[grant] }

    /// Whether a node has the grant, though it was ended.
    func isBeaten(_ grant: SharedGrant) -> Bool { entries[grant]?.hasBeatenSource ?? false }

    func copy(of grant: SharedGrant) -> ForeignEntry.Copy? { entries[grant]?.copy }

    mutating func forgetCopy(of grant: SharedGrant) {
        guard entries[grant]?.copy != nil else { return }
        copyCount -= 1
        entries[grant]?.forgetCopy()
    }

    /// The daemon was not heard for a while: these are its copies, and everything is offered anew.
    mutating func replaceCopies(_ copies: [SharedGrant: ForeignEntry.Copy], at now: Timestamp) {
        for grant in entries.keys { entries[grant]?.forgetCopy() }
        for (grant, copy) in copies {
            entries[grant, default: .init()].copy = copy
            entries[grant]?.seen = now
        }
        copyCount = copies.count
        for grant in entries.keys.sorted() { wait(grant) }
    }

    /// One batch, if there is something to be offered and the rate permits: what to offer, and which copies ended.
    mutating func takeBatch(
        at now: Moment, isOwn: (SharedGrant) -> Bool
    ) -> (offers: [GrantOffer], ended: [SharedGrant]) {
        guard !waiting.isEmpty, nextBatch <= now.instant else { return ([], []) }
        nextBatch = now.instant + FleetLimits.batchInterval
        let batch = waiting.prefix(FleetLimits.batchMax)
        waiting.removeFirst(batch.count)
        judged += batch.count
        var offers: [GrantOffer] = []
        var ended: [SharedGrant] = []
        for grant in batch {
            isWaiting.remove(grant)
            guard var entry = entries[grant] else { continue }
            switch entry.judgement(at: now.wall) {
            case .live(let node, let source):
                guard !isOwn(grant), entry.offers(source) else { break }
                guard entry.copy != nil || copyCount < grantsMax else {
                    refused += 1
                    hasLeftOut = true
                    break
                }
                if entry.copy == nil { copyCount += 1 }
                entry.copy = source.copy
                entry.offered = source.used
                entry.seen = now.wall
                offers.append(Self.offer(grant, of: node, source, at: now.wall))
            case .ended:
                copyCount -= 1
                entry.forgetCopy()
                ended.append(grant)
            case .silent: break
            }
            entries[grant] = entry
        }
        // A storm's memory is given back.
        if waiting.isEmpty { (waiting, isWaiting) = ([], []) }
        return (offers, ended)
    }

    private static func offer(
        _ grant: SharedGrant, of node: String, _ source: ForeignEntry.Source, at now: Timestamp
    ) -> GrantOffer {
        let age = max(0, now.milliseconds - source.used.milliseconds)
        return GrantOffer(
            grant: grant, node: node, origin: source.origin, issued: source.raw.issued, age: .milliseconds(age),
            keep: source.raw.keep)
    }

    /// - Parameter isPublished: whether this node publishes the grant; then the daemon has it, and tells its end.
    mutating func prune(at now: Timestamp, isPublished: (SharedGrant) -> Bool) {
        // Very many leave room to those that come.
        let isCrowded = entries.count > grantsMax
        for grant in Array(entries.keys) {
            entries[grant]?.prune(at: now, endedHolds: endedHolds, isCrowded: isCrowded)
            // The daemon may have refused it, or nobody came for it: it tells neither.
            if entries[grant]?.isCopyOver(at: now) == true, !isPublished(grant) { forgetCopy(of: grant) }
            if entries[grant]?.isEmpty == true { entries[grant] = nil }
        }
        recordCount = entries.values.reduce(0) { $0 + $1.recordCount }
        guard hasLeftOut, copyCount < grantsMax else { return }
        hasLeftOut = false
        for (grant, entry) in entries.sorted(by: { $0.key < $1.key }) where entry.copy == nil { wait(grant) }
    }
}

extension ForeignEntry {
    /// Whether the daemon gains by the offer: it has no copy, an older one, or one that was used long ago.
    fileprivate func offers(_ source: Source) -> Bool {
        guard let copy, let offered else { return true }
        guard copy == source.copy else { return isBeaten(copy) || source.copy.isLater(than: copy) }
        return offered + source.raw.keep / FleetLimits.refreshDivisor <= source.used
    }
}
