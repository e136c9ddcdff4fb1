import Addresses
import Clock
import Configuration
import Firewall
import FleetRecords

/// The grants that the nodes of a pair share, as this node sees them: what it tells the others, and what it has of them.
///
///     offered ──its service is alive──▶ copy ──its client looks up here──▶ a grant of this node
///        │                              ▲  │
///        └──▶ waiting ──registration────┘  └──its service goes──▶ waiting
///
/// A grant of this node whose service goes is told on until it would have ended: its clients may go to the other node.
public struct Sharing: Sendable {
    /// Another node's grant that is in force here.
    public struct Copy: Hashable, Sendable {
        public var grant: SharedGrant
        public var origin: String
        public var issued: Timestamp
        /// A packet of the client has used it here.
        public var isUsed = false
    }

    private struct Arriving {
        var grant: SharedGrant
        var entry: WaitingGrants.Entry
        /// It was ended meanwhile.
        var isEnded = false
    }

    private var pair: Settings.Fleet.Pair?
    private var keep: Duration
    private var copiesMax: Int
    private(set) var copies: [GrantKey: Copy] = [:]
    /// The grants of the copies, each with the number of its ports here.
    private var copied: [SharedGrant: Int] = [:]
    /// Copies on their way to the kernel: it acknowledges or refuses each.
    private var arriving: [GrantKey: Arriving] = [:]
    /// Offers of copies that are here: the kernel is asked for their lives first.
    private var renewals: [GrantKey: Arriving] = [:]
    /// Copies to give up for this node's own clients, the last first; some may be gone.
    private var victims: [GrantKey] = []
    /// Clients whose older grants an order of the fleet ended, with the time of the order.
    private var ordered: [IPAddress: Timestamp] = [:]
    private var orderedDue = DueTable<IPAddress>()
    public private(set) var waiting: WaitingGrants
    /// What waits for room, not for a service; and when to look for some again.
    private var crowded: Set<WaitingGrants.Place> = []
    private var roomSoughtAt = Instant.zero
    private var ended = EndedGrants()
    /// Grants of this node that lost their service, until they would have ended.
    private var lingering: [SharedGrant: GrantRecord] = [:]
    private var lingeringDue = DueTable<SharedGrant>()
    /// What ``remembered(from:count:)`` tells page by page, while it does.
    private var page: (lingering: [SharedGrant], ended: [SharedGrant]) = ([], [])
    /// When to ask the kernel whether a grant was used.
    private var looks = DueTable<GrantKey>()

    /// A grant that was asked for over UDP is looked at so soon, and again for a while: its client comes within seconds.
    private static let firstLook = Duration.seconds(1)
    private static let firstLooks = Duration.seconds(5)
    /// The last use that the others know is never older than this part of `keep`.
    private static let useDivisor = 4
    /// At one step of time; it bounds the step's time.
    private static let looksAtOnce = 128
    private static let lingeringMax = 16_384
    private static let orderedMax = 1024
    private static let openingsAtOnce = 1024
    private static let roomInterval = Duration.seconds(30)

    public init(_ settings: Settings) {
        pair = settings.fleet?.pair
        keep = settings.firewall.keep
        copiesMax = settings.copiesMax
        waiting = WaitingGrants()
    }

    public mutating func settingsReplaced(_ settings: Settings) {
        keep = settings.firewall.keep
        // The pair is that of the start.
        copiesMax = min(pair?.grants ?? 0, settings.limits.copies)
    }

    /// Whether grants are shared.
    public var isOn: Bool { pair != nil }
    public var copyCount: Int { copies.count }
    public var waitingCount: Int { waiting.count }

    // MARK: This node's grants

    /// A client looked a program up; the kernel has the grant. Or a packet of the client has proven it.
    ///
    /// - Parameters:
    ///   - issued: when the client asked first, as far as is known.
    ///   - used: no later than its last use: others keep it for no longer than this node does.
    ///   - isDoubted: the client's address may be forged.
    public mutating func issued(
        _ key: GrantKey, _ grant: SharedGrant, rule: String, issued: Timestamp, used: Timestamp, isDoubted: Bool,
        at now: Instant
    ) -> [DaemonMessage] {
        removeCopy(key)
        arriving[key] = nil
        renewals[key] = nil
        waiting.remove(grant)
        forgetLingering(grant)
        looks.insert(key, at: now + (isDoubted ? Self.firstLook : useInterval))
        let record = GrantRecord(issued: ended.after(issued, grant), used: used, rule: rule, keep: keep)
        return isDoubted ? [.issued(grant, record)] : [.issued(grant, record), .used(grant, used)]
    }

    /// A call over UDP alone has opened it, and may be forged: nobody is told before a packet uses it, and nothing of what
    /// the client has of others goes for it.
    public mutating func issuedUnproven(_ key: GrantKey, at now: Instant) {
        looks.insert(key, at: now + Self.firstLook)
    }

    /// The kernel was asked about the grant.
    ///
    /// - Parameters:
    ///   - used: when a packet used it last, if one did since it was last known.
    ///   - age: since it was issued.
    public mutating func looked(
        at key: GrantKey, _ grants: [SharedGrant], used: Timestamp?, age: Duration, at now: Instant
    ) -> [DaemonMessage] {
        // The clock may have been set back.
        let isNew = used == nil && age >= .zero && age < Self.firstLooks && copies[key] == nil
        looks.insert(key, at: now + (isNew ? Self.firstLook : useInterval))
        guard let used else { return [] }
        copies[key]?.isUsed = true
        return grants.map { .used($0, used) }
    }

    private var useInterval: Duration { max(keep / Self.useDivisor, Self.firstLook) }

    /// The grants that the kernel is to be asked about.
    public mutating func takeLooks(at now: Instant) -> [GrantKey] {
        var keys: [GrantKey] = []
        while keys.count < Self.looksAtOnce, let (key, _) = looks.popFirst(until: now) { keys.append(key) }
        return keys
    }

    // MARK: Ends

    /// The grant's time was over, or it made room for another.
    public mutating func expired(_ key: GrantKey, _ grants: [SharedGrant]) -> [DaemonMessage] {
        forget(key)
        return grants.map { .expired($0) }
    }

    /// It lost its service, and may find it at another node. Call ``forget(_:)`` after the last program of the port.
    ///
    /// - Parameter record: what the others know of it.
    public mutating func lostService(
        _ key: GrantKey, _ grant: SharedGrant, _ record: GrantRecord, endsAt end: Instant
    ) -> [DaemonMessage] {
        if let copy = copies[key] {
            waiting.insert(grant, WaitingGrants.Entry(origin: copy.origin, issued: copy.issued, end: end))
            // Its service may be at another port already: then the registry tells nothing new.
            waiting.open(WaitingGrants.Place(grant))
            return []
        }
        guard lingering[grant] != nil || lingering.count < Self.lingeringMax else { return [.expired(grant)] }
        lingering[grant] = record
        // The versions of a program may have had several ports.
        lingeringDue.insert(grant, at: max(end, lingeringDue[grant] ?? end))
        return []
    }

    /// It was ended here, on purpose: if it was revoked, it doesn't come back from another node.
    ///
    /// - Parameter isOwn: this node issued it. The others are told of its end until they know it.
    public mutating func ended(
        _ grant: SharedGrant, _ why: EndedRecord.Reason, isOwn: Bool = true, at now: Instant, _ wallClock: Timestamp
    ) -> [DaemonMessage] {
        waiting.remove(grant)
        forgetLingering(grant)
        let record = EndedRecord(at: wallClock, why: why)
        guard why == .revoked else {
            // A rule may end more than there is room for: revocations keep theirs.
            if isOwn, ended.hasRoom { ended.insert(grant, record, keep: keep, at: now, wallClock) }
            return [.ended(grant, record)]
        }
        endArriving { $0.grant == grant }
        ended.insert(grant, record, keep: keep, at: now, wallClock)
        endedMark += 1
        return [.ended(grant, record)]
    }

    /// The kernel has the grant no more.
    public mutating func forget(_ key: GrantKey) {
        removeCopy(key)
        renewals[key] = nil
        _ = looks.remove(key)
    }

    private mutating func removeCopy(_ key: GrantKey) {
        guard let grant = copies.removeValue(forKey: key)?.grant else { return }
        let left = copied[grant, default: 1] - 1
        copied[grant] = left > 0 ? left : nil
    }

    private mutating func forgetLingering(_ grant: SharedGrant) {
        guard lingering.removeValue(forKey: grant) != nil else { return }
        _ = lingeringDue.remove(grant)
    }

    public mutating func timeAdvanced(to now: Instant) -> [DaemonMessage] {
        waiting.timeAdvanced(to: now)
        ended.timeAdvanced(to: now)
        while let (client, _) = orderedDue.popFirst(until: now) { ordered[client] = nil }
        var messages: [DaemonMessage] = []
        while let (grant, _) = lingeringDue.popFirst(until: now) {
            lingering[grant] = nil
            messages.append(.expired(grant))
        }
        return messages
    }

    // MARK: The others' grants

    /// The rest of the life that the offer may have here; `nil`: none, or there is no room, or it was ended here.
    public func life(of offer: GrantOffer, _ wallClock: Timestamp) -> Duration? {
        guard isOn, !isEnded(offer.grant, issued: offer.issued, wallClock) else { return nil }
        let left = min(offer.keep, keep) - offer.age
        let count = copies.count + arriving.count + waiting.count
        // What is known already takes no more room.
        let isKnown = waiting[offer.grant] != nil || copied[offer.grant] != nil
        guard left > .zero, isKnown || count < copiesMax else { return nil }
        return left
    }

    private func isEnded(_ grant: SharedGrant, issued: Timestamp, _ wallClock: Timestamp) -> Bool {
        [ended.records[grant]?.revoked, ordered[grant.client]].contains { end in
            end.map { NodeClocks.isBeaten(issued: issued, byEndAt: $0, at: wallClock) } ?? false
        }
    }

    /// An order ended what was issued to the client before: also what is offered later.
    public mutating func orderFollowed(
        _ client: IPAddress, at created: Timestamp, at now: Instant, _ wallClock: Timestamp
    ) {
        endArriving {
            $0.grant.client == client
                && NodeClocks.isBeaten(issued: $0.entry.issued, byEndAt: created, at: wallClock)
        }
        // The first to be forgotten makes room.
        if ordered[client] == nil, ordered.count >= Self.orderedMax,
            let (oldest, _) = orderedDue.popFirst(until: .distantFuture)
        {
            ordered[oldest] = nil
        }
        ordered[client] = max(ordered[client] ?? created, created)
        holdOrder(of: client, at: now, wallClock)
    }

    private mutating func holdOrder(of client: IPAddress, at now: Instant, _ wallClock: Timestamp) {
        guard let created = ordered[client] else { return }
        let rest = EndedGrants.rest(of: EndedRecord.revocationHolds, since: created, wallClock)
        orderedDue.insert(client, at: now + rest)
    }

    private mutating func endArriving(_ isMeant: (Arriving) -> Bool) {
        for (key, copy) in arriving where isMeant(copy) { arriving[key]?.isEnded = true }
        renewals = renewals.filter { !isMeant($0.value) }
    }

    /// The copies on their way to the kernel by these keys that an end beats.
    public func arriving(
        endedAt end: Timestamp, _ wallClock: Timestamp, _ isMeant: (GrantKey) -> Bool
    ) -> [SharedGrant] {
        arriving.filter {
            isMeant($0.key) && NodeClocks.isBeaten(issued: $0.value.entry.issued, byEndAt: end, at: wallClock)
        }.map(\.value.grant)
    }

    /// Other nodes ended these grants: what waits is forgotten, and what is on its way to the kernel ends there.
    public mutating func endedElsewhere(_ grants: Set<SharedGrant>) {
        for grant in grants { waiting.remove(grant) }
        endArriving { grants.contains($0.grant) }
    }

    /// Its service isn't alive here.
    public mutating func wait(_ grant: SharedGrant, _ entry: WaitingGrants.Entry) { waiting.insert(grant, entry) }

    /// The kernel is asked to take the copy.
    public mutating func copying(_ key: GrantKey, _ grant: SharedGrant, _ entry: WaitingGrants.Entry) {
        waiting.remove(grant)
        arriving[key] = Arriving(grant: grant, entry: entry)
    }

    /// The copy may live on for longer than is known: the kernel is asked.
    public mutating func renew(_ key: GrantKey, _ grant: SharedGrant, _ entry: WaitingGrants.Entry, at now: Instant) {
        renewals[key] = Arriving(grant: grant, entry: entry)
        looks.insert(key, at: now)
    }

    /// The kernel told the lives of these grants: the offers that waited for that.
    public mutating func takeRenewals(
        of keys: [GrantKey]
    ) -> [(key: GrantKey, grant: SharedGrant, entry: WaitingGrants.Entry)] {
        guard !renewals.isEmpty else { return [] }
        return keys.compactMap { key in renewals.removeValue(forKey: key).map { (key, $0.grant, $0.entry) } }
    }

    /// The kernel has the copy; or an earlier run had it, or the grant of this node (`nil`).
    /// - Returns: false if the copy was ended meanwhile.
    public mutating func copied(
        _ key: GrantKey, _ grant: SharedGrant, from origin: String?, issued: Timestamp, at now: Instant
    ) -> Bool {
        looks.insert(key, at: now + useInterval)
        guard let origin else { return true }
        let isUsed = copies[key]?.isUsed ?? false
        let arrived = arriving.removeValue(forKey: key)
        // Another program's, maybe.
        removeCopy(key)
        copies[key] = Copy(grant: grant, origin: origin, issued: arrived?.entry.issued ?? issued, isUsed: isUsed)
        copied[grant, default: 0] += 1
        return arrived?.isEnded != true
    }

    /// The kernel didn't take these grants: the copies among them wait again.
    public mutating func refused(_ keys: [GrantKey]) {
        for key in keys {
            guard let copy = arriving.removeValue(forKey: key), !copy.isEnded else { continue }
            waiting.insert(copy.grant, copy.entry)
            waiting.open(WaitingGrants.Place(copy.grant))
        }
    }

    public func copy(_ key: GrantKey) -> Copy? { copies[key] }

    /// Whether the grant was issued after the one that the copy stems from, as far as a note in the kernel tells.
    public func isLater(_ grant: SharedGrant, _ entry: WaitingGrants.Entry, than key: GrantKey) -> Bool {
        guard let copy = copies[key], copy.grant == grant else { return false }
        return entry.issued.wholeSeconds > copy.issued.wholeSeconds
    }

    /// The limits leave no room for a grant, which waits.
    public mutating func foundNoRoom(for grant: SharedGrant, at now: Instant) {
        if crowded.isEmpty { roomSoughtAt = now + Self.roomInterval }
        crowded.insert(WaitingGrants.Place(grant))
    }

    public func seeksRoom(at now: Instant) -> Bool { !crowded.isEmpty && roomSoughtAt <= now }

    /// There is some room now.
    public mutating func openCrowded() {
        for place in crowded { waiting.open(place) }
        crowded = []
    }

    public mutating func removeWaiting(_ grant: SharedGrant) { waiting.remove(grant) }

    public mutating func open(_ place: WaitingGrants.Place) { waiting.open(place) }

    /// Grants whose services have come alive. The kernel is given so many at once: calls wait for it meanwhile.
    public mutating func takeOpening() -> [(grant: SharedGrant, entry: WaitingGrants.Entry)] {
        waiting.takeOpening(Self.openingsAtOnce)
    }

    /// Copies that make room for the clients of this node, each told once; those that nobody uses first.
    public mutating func takeVictims(_ count: Int) -> [GrantKey] {
        var taken: [GrantKey] = []
        var isFresh = false
        while taken.count < count, !copies.isEmpty {
            guard let key = victims.popLast() else {
                guard !isFresh else { break }
                isFresh = true
                victims = copies.filter(\.value.isUsed).map(\.key) + copies.filter { !$0.value.isUsed }.map(\.key)
                continue
            }
            if copies[key] != nil, !taken.contains(key) { taken.append(key) }
        }
        return taken
    }

    // MARK: Everything

    /// What the others are told of a grant that is in the kernel.
    public func record(
        _ key: GrantKey, _ grant: SharedGrant, rule: String, issued: Timestamp, used: Timestamp
    ) -> (record: GrantRecord, isUsed: Bool) {
        guard let copy = copies[key] else {
            let record = GrantRecord(issued: ended.after(issued, grant), used: used, rule: rule, keep: keep)
            return (record, true)
        }
        let record = GrantRecord(issued: copy.issued, used: used, rule: "", keep: keep, origin: copy.origin)
        return (record, copy.isUsed)
    }

    /// The part of everything that isn't in the kernel: some messages from this place on, and the place after them.
    public mutating func remembered(from place: Int, count: Int) -> (messages: [DaemonMessage], next: Int?) {
        // What comes or goes meanwhile is told by itself. The rest keeps its place.
        if place == 0 { page = (Array(lingering.keys), Array(ended.records.keys)) }
        let lingered = page.lingering.dropFirst(place).prefix(count)
        let rest = page.ended.dropFirst(max(0, place - page.lingering.count)).prefix(count - lingered.count)
        guard !lingered.isEmpty || !rest.isEmpty else {
            page = ([], [])
            return ([], nil)
        }
        let messages =
            lingered.compactMap { grant in lingering[grant].map { DaemonMessage.live(grant, $0, isUsed: true) } }
            + rest.compactMap { grant in ended.records[grant].map { DaemonMessage.remembered(grant, $0) } }
        return (messages, place + lingered.count + rest.count)
    }

    /// What was ended here, for a later run.
    public var endedGrants: [DaemonMessage] { ended.found.map { .remembered($0.key, $0.value) } }
    /// Grows with each end.
    public private(set) var endedMark: UInt64 = 0

    /// What an earlier run ended.
    public mutating func found(_ messages: [DaemonMessage], at now: Instant, _ wallClock: Timestamp) {
        for case .remembered(let grant, let record) in messages {
            ended.insert(grant, record, keep: keep, at: now, wallClock)
        }
    }

    // MARK: Time

    /// The wall clock was set: times that a clock that was ahead gave are dated back, and what was thought to be over may not
    /// be. Those of other nodes are their own.
    public mutating func clockSet(by step: Duration, at now: Instant, _ wallClock: Timestamp) {
        ended.clockSet(keep: keep, at: now, wallClock)
        for (client, created) in ordered {
            ordered[client] = NodeClocks.isAhead(created, of: wallClock) ? wallClock : created
            holdOrder(of: client, at: now, wallClock)
        }
        for (grant, record) in lingering where record.issued > wallClock || record.used > wallClock {
            lingering[grant]?.issued = min(record.issued + step, record.issued, wallClock)
            lingering[grant]?.used = min(record.used + step, record.used, wallClock)
        }
    }
}
