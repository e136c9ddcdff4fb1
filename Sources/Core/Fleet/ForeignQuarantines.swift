import Addresses
import Clock
import FleetRecords

/// The quarantines of the other nodes, and which of them this node takes over.
struct ForeignQuarantines: Sendable {
    private var records: [IPAddress: [String: QuarantineRecord]] = [:]
    private var counts: [String: Int] = [:]
    /// What the daemon was offered, with its end.
    private(set) var offered: [IPAddress: Timestamp] = [:]
    private var released: [IPAddress: Instant] = [:]
    private(set) var refused = 0
    private var pruneAt = Instant.zero

    let settings: FleetSettings

    /// What the other nodes say, and whether enough of them do.
    var all: [(client: IPAddress, said: [String: QuarantineRecord], isOffered: Bool)] {
        records.sorted { $0.key < $1.key }.map { ($0.key, $0.value, offered[$0.key] != nil) }
    }

    init(_ settings: FleetSettings) { self.settings = settings }

    /// - Returns: the offer, if enough nodes agree and the limits permit it.
    mutating func put(
        _ client: IPAddress, _ record: QuarantineRecord, of node: String, at now: Moment
    ) -> QuarantineOffer? {
        guard settings.acceptsQuarantines, record.evidence == .tcp, record.until > now.wall,
            records[client]?[node] != record
        else { return nil }
        if records[client]?[node] == nil {
            pruneAtTimes(now)
            guard counts[node, default: 0] < FleetLimits.quarantinesOfNodeMax,
                records[client] != nil || records.count < settings.quarantinesMax,
                records[client, default: [:]].count < FleetLimits.writersMax
            else {
                refused += 1
                return nil
            }
            counts[node, default: 0] += 1
        }
        records[client, default: [:]][node] = record
        return offer(client, at: now)
    }

    /// The daemon was not heard for a while: what isn't over is offered anew, and no longer than before. A record whose key
    /// is gone means nothing, neither an end nor a beginning.
    func offersAnew(at now: Moment) -> [QuarantineOffer] {
        offered.filter { $0.value > now.wall }.sorted { $0.key < $1.key }.map {
            QuarantineOffer(client: $0.key, until: $0.value, nodes: records[$0.key, default: [:]].keys.sorted())
        }
    }

    mutating func release(_ client: IPAddress, at now: Instant) {
        offered[client] = nil
        released = released.filter { $0.value > now }
        guard released.count < settings.quarantinesMax else { return }
        released[client] = now + FleetLimits.releaseHolds
    }

    private mutating func offer(_ client: IPAddress, at now: Moment) -> QuarantineOffer? {
        guard released[client].map({ $0 <= now.instant }) ?? true, let said = records[client] else { return nil }
        let ends = said.filter { $0.value.until > now.wall }.values.map(\.until).sorted(by: >)
        guard settings.quorum >= 1, ends.count >= settings.quorum else { return nil }
        // As long as a quorum says so, and no longer than this node would.
        let until = min(
            ends[settings.quorum - 1], now.wall + settings.quarantineFor)
        guard offered[client].map({ $0 < until }) ?? true else { return nil }
        offered[client] = until
        return QuarantineOffer(client: client, until: until, nodes: said.keys.sorted())
    }

    /// Not with each record: a node may write many.
    private mutating func pruneAtTimes(_ now: Moment) {
        guard pruneAt <= now.instant else { return }
        pruneAt = now.instant + FleetLimits.pruneInterval
        prune(at: now.wall)
    }

    mutating func prune(at now: Timestamp) {
        offered = offered.filter { $0.value > now }
        for (client, said) in records {
            for (node, record) in said where record.until <= now {
                records[client]?[node] = nil
                counts[node, default: 1] -= 1
            }
            if records[client]?.isEmpty == true { records[client] = nil }
        }
        counts = counts.filter { $0.value > 0 }
    }
}
