import Addresses
import AuditTrail
import Calls
import Clock

/// The sources of denials and the calls that each was denied, in bounded memory and without an allocation for
/// each.
///
/// When all places are taken, the least of a few neighbours goes: the one with the fewest denials, the oldest of
/// equals. So a flood from forged addresses, each seen once, doesn't push out a source that keeps asking. A named client
/// counts for more only once it was denied a call over TCP: datagrams in its name may be forged.
struct DenialLog: Sendable {
    /// Addresses that belong together: IPv6 strangers own a /64 at least.
    struct Source: TableKey, Sendable {
        private var address: IPAddress

        init(_ client: IPAddress, isListed: Bool) { address = isListed ? client : client.subscriberPrefix }

        func combine(into hash: inout TableHash) { address.combine(into: &hash) }
    }

    struct Record: Sendable {
        fileprivate(set) var source: Source
        /// The last address, if the source has several.
        fileprivate(set) var client: IPAddress
        fileprivate(set) var isListed: Bool
        /// Whether a call over TCP was denied, whose source isn't forged.
        private(set) var isProven = false
        fileprivate(set) var count = 0
        fileprivate(set) var first: Instant
        fileprivate(set) var last: Instant
        fileprivate(set) var marks: ScannerFingerprint = []
        private var reasonBits: UInt32 = 0
        private var programSlots = SIMD32<UInt32>()
        private var slotsTaken = 0
        /// The slots of programs that were asked for in this episode.
        private var episodeSlots: UInt32 = 0
        /// Calls in this episode for programs that found no slot.
        private(set) var episodeOverflow = 0
        private var versions: UInt32 = 0
        private var versionsOf: UInt32 = 0
        fileprivate var inAll = SlidingCount()
        fileprivate var overTCP = SlidingCount()
        /// Since when the source looks like enumeration that is to be reported.
        fileprivate(set) var suspectedAt: Instant?
        /// The number of programs that the last report of this episode told; `nil`: there was none.
        private(set) var reportedCount: Int?
        /// The number of addresses of the source that were quarantined in this episode.
        fileprivate(set) var quarantinedCount = 0
        /// The number of denials in this episode.
        fileprivate(set) var episodeCount = 0
        fileprivate(set) var episodeTransport = Transport.udp

        fileprivate init(_ source: Source, _ client: IPAddress, isListed: Bool, at now: Instant) {
            self.source = source
            self.client = client
            self.isListed = isListed
            (first, last) = (now, now)
        }

        var reasons: [DenialReason] {
            DenialLog.reasons.enumerated().filter { reasonBits & 1 << UInt32($0.offset) != 0 }.map(\.element)
        }

        /// The programs that found a slot, ascending.
        var programs: [Program] { (0..<slotsTaken).map { Program(programSlots[$0]) }.sorted() }

        var episodePrograms: [Program] {
            (0..<slotsTaken).filter { episodeSlots & 1 << UInt32($0) != 0 }.map { Program(programSlots[$0]) }.sorted()
        }

        /// Distinct programs of this episode; of programs without a slot each call counts.
        var episodeProgramCount: Int { episodeSlots.nonzeroBitCount + episodeOverflow }

        /// Adds a denial, and returns the figures after it.
        fileprivate mutating func add(
            _ incoming: IncomingCall, _ reason: DenialReason?, isOwnDoing: Bool, isListed: Bool,
            within window: Duration, at now: Instant
        ) -> Finding {
            let peer = incoming.peer
            if now - last > window { beginEpisode() }
            client = peer.address
            self.isListed = isListed
            last = now
            count += 1
            episodeCount += 1
            episodeTransport = peer.transport
            if peer.transport == .tcp { isProven = true }
            if let reason { add(reason) }
            marks.formUnion(ScannerFingerprint(of: incoming))
            if case .call(let call) = incoming.content, let (program, version) = call.subject {
                add(program, version: version)
            }
            var finding = Finding()
            if isOwnDoing, reason?.isOfItsOwnDoing ?? true {
                finding.inAll = inAll.add(at: now, within: window)
                if peer.transport == .tcp { finding.overTCP = overTCP.add(at: now, within: window) }
            }
            if suspectedAt == nil, isToBeReported {
                suspectedAt = now
                finding.isSuspectedNow = true
            }
            return finding
        }

        private mutating func add(_ reason: DenialReason) {
            if let bit = DenialLog.reasons.firstIndex(of: reason) { reasonBits |= 1 << UInt32(bit) }
        }

        private mutating func add(_ program: Program, version: UInt32) {
            if versionsOf != program.rawValue { (versionsOf, versions) = (program.rawValue, 0) }
            versions |= 1 << min(version, 31)
            if versions.nonzeroBitCount >= DenialLog.versionsOfAWalk { marks.insert(.walksVersions) }
            guard program != .portmapper else { return }
            if let slot = (0..<slotsTaken).first(where: { programSlots[$0] == program.rawValue }) {
                episodeSlots |= 1 << UInt32(slot)
            } else if let slot = takeSlot() {
                programSlots[slot] = program.rawValue
                episodeSlots |= 1 << UInt32(slot)
            } else {
                episodeOverflow += 1
            }
        }

        /// A free slot, or one of an earlier episode.
        private mutating func takeSlot() -> Int? {
            if slotsTaken < programSlots.scalarCount {
                slotsTaken += 1
                return slotsTaken - 1
            }
            let earlier = (~episodeSlots).trailingZeroBitCount
            return earlier < programSlots.scalarCount ? earlier : nil
        }

        /// A listing, many programs, a walk through versions, or a call that only scanners make.
        var looksLikeEnumeration: Bool {
            episodeProgramCount >= DenialLog.programsOfEnumeration || marks.isEnumerating
        }

        /// Once an episode, and again whenever its programs have doubled: a source that goes on asking for others must
        /// not keep them from the log.
        var isToBeReported: Bool {
            guard looksLikeEnumeration else { return false }
            return reportedCount.map { episodeProgramCount >= max(2 * $0, DenialLog.programsOfEnumeration) } ?? true
        }

        fileprivate mutating func noteReported() { (suspectedAt, reportedCount) = (nil, episodeProgramCount) }

        fileprivate mutating func beginEpisode() {
            (suspectedAt, reportedCount, quarantinedCount) = (nil, nil, 0)
            (marks, episodeSlots, episodeOverflow, versions, episodeCount) = ([], 0, 0, 0, 0)
        }
    }

    /// The figures after a denial, and its consequence.
    struct Finding {
        /// Denials within `quarantine.within`, over either transport and over TCP alone, which can't be forged.
        var inAll = 0
        var overTCP = 0
        /// The source begins to look like enumeration with this denial.
        var isSuspectedNow = false
    }

    /// Made once: `allCases` makes an array at each call.
    private static let reasons = DenialReason.allCases
    static let sourcesMax = 8192
    static let programsOfEnumeration = 4
    static let versionsOfAWalk = 4
    /// A source with a whole /64 must not fill the kernel's set with its addresses. Its rate is limited anyway.
    static let quarantinedOfSourceMax = 64
    private static let neighbours = 8
    /// A named client's record is worth more than any stranger's, unless it may be of forged datagrams.
    private static let worthOfAName = 1 << 20

    private var records: [Record] = []
    private var places: [Source: Int] = [:]
    private var hand = 0

    subscript(source: Source) -> Record? { places[source].map { records[$0] } }
    var count: Int { records.count }

    /// The records with a denial since then, the latest first.
    func records(since: Instant) -> [Record] {
        records.filter { $0.last >= since }.sorted { $0.last > $1.last }
    }

    /// A few records: first the ones with a denial since then, by their number of denials in this episode, then
    /// the others by their last denial.
    ///
    /// One pass over all records that copies none, because it runs every second or so.
    func foremost(_ limit: Int, activeSince: Instant) -> [Record] {
        guard limit > 0 else { return [] }
        var best: [(rank: Rank, place: Int)] = []
        for place in records.indices {
            let last = records[place].last
            let rank = Rank(count: last >= activeSince ? records[place].episodeCount : 0, last: last)
            if best.count == limit, let least = best.last, !(least.rank < rank) { continue }
            let position = best.firstIndex { $0.rank < rank } ?? best.count
            best.insert((rank, place), at: position)
            if best.count > limit { best.removeLast() }
        }
        return best.map { records[$0.place] }
    }

    private struct Rank: Comparable {
        var count: Int
        var last: Instant

        static func < (left: Self, right: Self) -> Bool { (left.count, left.last) < (right.count, right.last) }
    }

    mutating func add(
        _ incoming: IncomingCall, _ reason: DenialReason?, isOwnDoing: Bool = true, isListed: Bool,
        within window: Duration, at now: Instant
    ) -> Finding {
        let client = incoming.peer.address
        let place = place(of: Source(client, isListed: isListed), client, isListed: isListed, at: now)
        return records[place].add(
            incoming, reason, isOwnDoing: isOwnDoing, isListed: isListed, within: window, at: now)
    }

    /// Forgets the source's offences; the record of its denials stays.
    mutating func forgive(_ source: Source) {
        guard let place = places[source] else { return }
        records[place].inAll = SlidingCount()
        records[place].overTCP = SlidingCount()
        records[place].beginEpisode()
    }

    mutating func noteReported(_ source: Source) {
        if let place = places[source] { records[place].noteReported() }
    }

    /// The source is no suspect any more, for example because there was no room among the suspects; it may become
    /// one later.
    mutating func unsuspect(_ source: Source) {
        if let place = places[source] { records[place].suspectedAt = nil }
    }

    /// - Returns: whether one more address of the source may be quarantined.
    mutating func noteQuarantined(_ source: Source) -> Bool {
        guard let place = places[source], records[place].quarantinedCount < Self.quarantinedOfSourceMax else {
            return false
        }
        records[place].quarantinedCount += 1
        return true
    }

    private mutating func place(of source: Source, _ client: IPAddress, isListed: Bool, at now: Instant) -> Int {
        if let place = places[source] { return place }
        let record = Record(source, client, isListed: isListed, at: now)
        if records.count < Self.sourcesMax {
            records.append(record)
            places[source] = records.count - 1
            return records.count - 1
        }
        let place = leastOfNeighbours()
        places[records[place].source] = nil
        records[place] = record
        places[source] = place
        return place
    }

    private mutating func leastOfNeighbours() -> Int {
        let candidates = hand..<hand + Self.neighbours
        hand = (hand + Self.neighbours) % Self.sourcesMax
        var least = candidates.lowerBound
        for place in candidates.dropFirst() {
            let (left, right) = (worth(place), worth(least))
            if left != right ? left < right : records[place].last < records[least].last { least = place }
        }
        return least
    }

    private func worth(_ place: Int) -> Int {
        records[place].count + (records[place].isListed && records[place].isProven ? Self.worthOfAName : 0)
    }
}

extension DenialReason {
    /// Whether the client caused the denial; the other reasons are the server's state.
    var isOfItsOwnDoing: Bool {
        switch self {
        case .stranger, .noRule, .noList, .listOverUDP, .transport, .remoteRegistration, .remoteCall, .notServed,
            .rate:
            true
        case .untrustedOwner, .notListening, .neverPort, .grantsFull, .firewallFailed, .rpcbindDown, .broadcast:
            false
        }
    }
}
