import Addresses
import Clock
import FleetRecords

/// Grants of other nodes whose services aren't alive here yet.
public struct WaitingGrants: Sendable {
    public struct Entry: Hashable, Sendable {
        public var origin: String
        public var issued: Timestamp
        public var end: Instant

        public init(origin: String, issued: Timestamp, end: Instant) {
            self.origin = origin
            self.issued = issued
            self.end = end
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

    var count: Int { due.count }
    public var isEmpty: Bool { due.count == 0 }
    /// There are as many as programs at servers, whatever is offered.
    public var places: [Place] { Array(entries.keys) }

    subscript(grant: SharedGrant) -> Entry? { entries[Place(grant)]?[grant] }

    /// All that are of this client, and that an end beats.
    public func grants(of client: IPAddress, endedAt end: Timestamp, _ wallClock: Timestamp) -> [SharedGrant] {
        entries.values.flatMap { entries in
            entries.filter {
                $0.key.client == client
                    && NodeClocks.isBeaten(issued: $0.value.issued, byEndAt: end, at: wallClock)
            }.map(\.key)
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
        entries[Place(grant), default: [:]][grant] = entry
        due.insert(grant, at: entry.end)
    }

    mutating func remove(_ grant: SharedGrant) {
        guard due.remove(grant) else { return }
        drop(grant)
    }

    private mutating func drop(_ grant: SharedGrant) {
        let place = Place(grant)
        entries[place]?[grant] = nil
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
