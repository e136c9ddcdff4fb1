import Addresses
import Clock
import FleetRecords

/// Grants whose services aren't alive here: other nodes', and those of this node that lost theirs.
public struct WaitingGrants: Sendable {
    public struct Entry: Hashable, Sendable {
        public var origin: String
        public var issued: Timestamp
        public var end: Instant
        /// This node issued it.
        public var isOwn: Bool

        public init(origin: String, issued: Timestamp, end: Instant, isOwn: Bool = false) {
            self.origin = origin
            self.issued = issued
            self.end = end
            self.isOwn = isOwn
        }
    }

    /// What they wait for.
    public struct Place: Hashable, Sendable {
        public var program: Program
        public var transport: Transport
        public var server: IPAddress?
    }

    private var entries: [Place: [SharedGrant: Entry]] = [:]
    private var due = DueTable<SharedGrant>()
    /// The places whose services are alive now, the first first; and what is left of the one that is being opened.
    private var opening: [Place] = []
    private var current: [SharedGrant] = []

    private var ownCount = 0

    /// Of other nodes' grants.
    var foreignCount: Int { due.count - ownCount }
    public var isEmpty: Bool { due.count == 0 }
    /// There are as many as programs at servers, whatever is offered.
    public var places: [Place] { Array(entries.keys) }

    subscript(grant: SharedGrant) -> Entry? { entries[Place(grant)]?[grant] }

    /// All that are of this client, and were issued until then: a node's clock may be ahead.
    public func grants(of client: IPAddress, issuedBefore time: Timestamp) -> [SharedGrant] {
        entries.values.flatMap { entries in
            entries.filter { $0.key.client == client && $0.value.issued <= time + EndedGrants.clocksDifferenceMax }.map(
                \.key)
        }
    }

    /// The service is alive: what waits for it is to be opened.
    mutating func open(_ place: Place) {
        if !opening.contains(place) { opening.append(place) }
    }

    /// Each is tried once for each time that its place is opened.
    mutating func takeOpening(_ limit: Int) -> [(grant: SharedGrant, entry: Entry)] {
        var taken: [(grant: SharedGrant, entry: Entry)] = []
        while taken.count < limit {
            if current.isEmpty {
                guard !opening.isEmpty else { break }
                current = Array(entries[opening.removeFirst(), default: [:]].keys)
            }
            guard let grant = current.popLast() else { continue }
            if let entry = self[grant] { taken.append((grant, entry)) }
        }
        return taken
    }

    mutating func insert(_ grant: SharedGrant, _ entry: Entry) {
        let former = entries[Place(grant), default: [:]].updateValue(entry, forKey: grant)
        ownCount += (entry.isOwn ? 1 : 0) - (former?.isOwn == true ? 1 : 0)
        due.insert(grant, at: entry.end)
    }

    mutating func remove(_ grant: SharedGrant) {
        guard due.remove(grant) else { return }
        drop(grant)
    }

    private mutating func drop(_ grant: SharedGrant) {
        let place = Place(grant)
        if entries[place]?.removeValue(forKey: grant)?.isOwn == true { ownCount -= 1 }
        if entries[place]?.isEmpty == true { entries[place] = nil }
    }

    mutating func timeAdvanced(to now: Instant) {
        while let (grant, _) = due.popFirst(until: now) { drop(grant) }
    }
}

extension WaitingGrants.Place {
    public init(_ grant: SharedGrant) {
        self.init(program: grant.program, transport: grant.transport, server: grant.server)
    }
}
