import Addresses
import Clock
import Fleet
import FleetRecords
import TestSupport

/// Some nodes with their daemons, and a store, driven by one generator: a seed replays the whole run.
struct Simulation {
    enum Request {
        case connect
        case grantLease(FleetLease, Duration)
        case keepLease(FleetLease)
        case transact(UInt64, [StoreOperation])
        case read(FleetRange, after: FleetKey?, revision: Int64?, max: Int)
        case watch(Int64)
    }

    /// A host of the fleet, and its way to the store.
    final class Place {
        var daemon: ModelDaemon
        var node: FleetNode
        var requests: [(due: Instant, request: Request)] = []
        var isUp = false
        var isPartitioned = false
        /// The connection breaks then, if the partition lasts.
        var breaksAt: Instant?
        var cursor: Int64?
        var leases: [FleetLease: Int] = [:]
        var losesNextResponse = false
        var watchStallsUntil = Instant.zero
        var resyncAt: Instant?
        var lastBatch: Instant?
        /// The daemon's own grants as they would be without a fleet.
        var reference: [SharedGrant: GrantRecord] = [:]
        /// Copies that were ended here since this node's process started.
        var gone: Set<Fact> = []

        init(_ daemon: ModelDaemon, _ node: FleetNode) {
            self.daemon = daemon
            self.node = node
        }

        func moment(at now: Instant) -> Moment { daemon.moment(at: now) }
    }

    struct End {
        var node: String
        var at: Timestamp
        var why: EndedRecord.Reason
    }

    /// Within this time after the last fault, what was revoked is ended everywhere: the longest back-off, and the rest.
    static let bound = Duration.seconds(60)
    /// And within so many steps, for in a long one everything happens once.
    static let boundTicks = 12
    static let keepMax = Duration.seconds(3600)
    static let settingsPageMax = 3

    let seed: UInt64
    var random: SeededGenerator
    var now = Instant(nanoseconds: 1_000_000_000_000)
    var store = ModelStore()
    var backup: ModelStore?
    var isStoreGone = false
    /// Each read is answered so, by a store that lies.
    var isAlwaysCompacted = false
    var heldUntil = Instant.zero
    var places: [Place] = []
    var calmFrom = Instant.zero
    var ends: [SharedGrant: [End]] = [:]
    var revocations: [(fact: Fact, at: Instant, ticks: Int)] = []
    var step = 0
    /// When the question under way was answered: what it leads to is asked then.
    var askedAt = Instant.zero
    /// Steps of time, and how many there had been at the last fault.
    var ticks = 0
    var calmTicks = 0
    var isTraced = false
    var isSettling = false
    var violations: [String] = []
    /// What happened, so that a test can see that everything does.
    var seen: [String: Int] = [:]

    init(seed: UInt64, nodes: Int) {
        self.seed = seed
        random = SeededGenerator(state: seed)
        for index in 0..<nodes {
            let skew = Duration.milliseconds(Int64.random(in: -5000...5000, using: &random))
            let daemon = ModelDaemon(name: "n\(index)", skew: skew, firstPort: 2000 + 1000 * UInt16(index))
            let node = Self.node(daemon, nodes: nodes, seed: random.next(), at: now)
            let place = Place(daemon, node)
            place.resyncAt = now
            places.append(place)
        }
    }

    static func node(_ daemon: ModelDaemon, nodes: Int, seed: UInt64, at now: Instant) -> FleetNode {
        var settings = FleetSettings(node: daemon.name, pair: "p")
        settings.keepMax = keepMax
        settings.pageMax = settingsPageMax
        settings.quorum = nodes > 2 ? 2 : 1
        return FleetNode(settings, seed: seed, at: daemon.moment(at: now))
    }

    mutating func fail(_ what: String) {
        guard violations.isEmpty else { return }
        violations.append("\(what)\n    replay: FLEET_SEED=\(seed) FLEET_NODES=\(places.count), step \(step)")
    }

    mutating func note(_ what: String) {
        seen[what, default: 0] += 1
        log(what)
    }

    /// For whoever replays a seed.
    func log(_ what: @autoclosure () -> String) {
        if isTraced { print("\(step) \(now.nanoseconds / 1_000_000 - 1_000_000) ms: \(what())") }
    }

    mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }
}

// MARK: Time

extension Simulation {
    mutating func advance(by duration: Duration) {
        now = now + duration
        askedAt = now
        ticks += 1
        let isTroubled = places.contains { $0.isPartitioned || $0.losesNextResponse || $0.watchStallsUntil > now }
        if isStoreGone || heldUntil > now || isTroubled {
            calmFrom = now
            calmTicks = ticks
        }
        store.lapseDue(at: now)
        for index in places.indices {
            expire(index)
            breakConnections(index)
            serveRequests(index)
            deliverChanges(index)
            if let due = places[index].resyncAt, due <= now { resync(index) }
            let moment = places[index].moment(at: now)
            var actions: [FleetAction] = []
            places[index].node.timeAdvanced(at: moment, into: &actions)
            perform(actions, index)
        }
        check()
    }

    /// The kernel's timeouts.
    private mutating func expire(_ index: Int) {
        let place = places[index]
        for grant in Self.due(place.daemon.own, at: now) {
            place.daemon.own[grant] = nil
            place.reference[grant] = nil
            place.node.grantExpired(grant, at: place.moment(at: now))
            note("expired")
        }
        for grant in Self.due(place.daemon.copies, at: now) {
            place.daemon.copies[grant] = nil
            place.node.grantExpired(grant, at: place.moment(at: now))
            note("expired")
        }
    }

    private static func due(_ grants: [SharedGrant: ModelDaemon.Live], at now: Instant) -> [SharedGrant] {
        var due: [SharedGrant] = []
        for (grant, live) in grants where live.ends <= now { due.append(grant) }
        return due.count > 1 ? due.sorted() : due
    }

    mutating func resync(_ index: Int) {
        places[index].resyncAt = nil
        let daemon = places[index].daemon
        var actions: [FleetAction] = []
        places[index].node.resynced(
            live: daemon.live, used: Set(daemon.copies.filter(\.value.isUsed).keys), ended: daemon.ended,
            quarantined: daemon.quarantined, at: places[index].moment(at: now),
            into: &actions)
        perform(actions, index)
    }
}

// MARK: The shell towards the store

extension Simulation {
    mutating func disconnect(_ index: Int) {
        places[index].requests = []
        places[index].cursor = nil
        places[index].isUp = false
        places[index].breaksAt = nil
        log("\(places[index].daemon.name) lost the store")
        places[index].node.storeLost(at: places[index].moment(at: now))
    }

    private mutating func breakConnections(_ index: Int) {
        if let due = places[index].breaksAt, due <= now { disconnect(index) }
    }

    private func reaches(_ index: Int) -> Bool { !isStoreGone && !places[index].isPartitioned }

    /// Answers lead to questions, which may be answered within the same step.
    private mutating func serveRequests(_ index: Int) {
        while let first = places[index].requests.first, first.due <= now {
            places[index].requests.removeFirst()
            askedAt = first.due
            serve(first.request, index)
        }
        askedAt = now
    }

    private mutating func serve(_ request: Request, _ index: Int) {
        guard reaches(index) else { return disconnect(index) }
        let moment = places[index].moment(at: now)
        var actions: [FleetAction] = []
        switch request {
        case .connect:
            places[index].isUp = true
            log("\(places[index].daemon.name) connected")
            places[index].node.storeConnected(at: moment, into: &actions)
        case .grantLease(let lease, let duration):
            places[index].leases[lease] = store.grantLease(duration, at: now)
            places[index].node.leaseGranted(lease, at: moment)
        case .keepLease(let lease):
            if !(places[index].leases[lease].map { store.keepLease($0, at: now) } ?? false) {
                places[index].node.leaseLost(lease, at: moment, into: &actions)
            }
        case .transact(let id, let operations):
            if heldUntil > now {
                // A question of the same connection that comes later is answered later.
                return places[index].requests.insert((heldUntil, request), at: 0)
            }
            transact(id, operations, index)
        case .read(let range, let after, let revision, let max):
            if !isSettling, revision != nil, chance(5) { store.compactBehindNews() }
            if !isAlwaysCompacted, let page = store.page(range, after: after, revision: revision, max: max) {
                places[index].node.pageRead(page, at: moment, into: &actions)
            } else {
                note("compacted while reading")
                places[index].node.compacted(at: moment)
            }
        case .watch(let start):
            places[index].cursor = start
            places[index].node.watchOpened(at: places[index].moment(at: now))
        }
        perform(actions, index)
    }

    private mutating func transact(_ id: UInt64, _ operations: [StoreOperation], _ index: Int) {
        let moment = places[index].moment(at: now)
        log("\(places[index].daemon.name) \(operations)")
        if places[index].losesNextResponse {
            places[index].losesNextResponse = false
            return loseResponse(id, operations, index)
        }
        let isDone = store.transact(operations, leases: places[index].leases)
        var actions: [FleetAction] = []
        places[index].node.transactionEnded(id, succeeded: isDone, at: moment)
        if !isDone {
            for lease in FleetLease.allCases where places[index].leases[lease].map({ store.leases[$0] == nil }) ?? true
            {
                places[index].node.leaseLost(lease, at: moment, into: &actions)
            }
        }
        perform(actions, index)
    }

    /// The node can't know whether the transaction was done.
    private mutating func loseResponse(_ id: UInt64, _ operations: [StoreOperation], _ index: Int) {
        note("response lost")
        if chance(60) { _ = store.transact(operations, leases: places[index].leases) }
        guard chance(50) else { return disconnect(index) }
        places[index].node.transactionEnded(id, succeeded: false, at: places[index].moment(at: now))
    }

    private mutating func deliverChanges(_ index: Int) {
        guard let start = places[index].cursor, reaches(index), places[index].watchStallsUntil <= now else { return }
        let moment = places[index].moment(at: now)
        var actions: [FleetAction] = []
        if let (changes, next) = store.changes(from: start) {
            places[index].cursor = next
            let told = changes.filter { $0.key.writer != nil }
            if !told.isEmpty { places[index].node.watched(told, at: moment, into: &actions) }
        } else {
            note("compacted while watching")
            places[index].cursor = nil
            places[index].node.compacted(at: moment)
        }
        perform(actions, index)
    }
}

// MARK: What a node wants done

extension Simulation {
    mutating func perform(_ actions: [FleetAction], _ index: Int) {
        for action in actions {
            switch action {
            case .connect: ask(.connect, index)
            case .grantLease(let lease, let duration): ask(.grantLease(lease, duration), index)
            case .keepLease(let lease): ask(.keepLease(lease), index)
            case .transact(let id, let operations):
                checkOperations(operations, index)
                ask(.transact(id, operations), index)
            case .read(let range, let after, let revision, let max):
                ask(.read(range, after: after, revision: revision, max: max), index)
            case .watch(let start): ask(.watch(start), index)
            case .offerGrants(let offers): take(offers, index)
            case .endCopy(let grant): endCopy(grant, index)
            case .offerQuarantines(let offers): checkQuarantines(offers, index)
            case .hearDaemonAnew: fail("\(places[index].daemon.name) thinks that its clock was set")
            }
        }
    }

    private mutating func ask(_ request: Request, _ index: Int) {
        let delay = Duration.milliseconds(Int64.random(in: 1...40, using: &random))
        // One connection: answers come in the order of the questions.
        let due = max(askedAt + delay, places[index].requests.last?.due ?? askedAt)
        places[index].requests.append((due, request))
    }

    private mutating func take(_ offers: [GrantOffer], _ index: Int) {
        if offers.count > FleetLimits.batchMax { fail("a batch of \(offers.count)") }
        if let last = places[index].lastBatch, now - last < FleetLimits.batchInterval {
            fail("two batches within \(now - last)")
        }
        places[index].lastBatch = now
        for offer in offers {
            let fact = Fact(grant: offer.grant, origin: offer.origin, issued: offer.issued)
            if places[index].gone.contains(fact), places[index].daemon.permits(offer.grant) {
                fail("4: \(fact.grant) of \(fact.origin) came back at \(places[index].daemon.name)")
            }
            log("\(places[index].daemon.name) is offered \(fact)")
            places[index].daemon.take(offer, at: places[index].moment(at: now))
        }
        note("offered")
    }

    private mutating func endCopy(_ grant: SharedGrant, _ index: Int) {
        note("copy ended")
        if places[index].daemon.own[grant] != nil {
            fail("1: the fleet ends \(grant), which \(places[index].daemon.name) issued itself")
            places[index].daemon.own[grant] = nil
        }
        guard let copy = places[index].daemon.copies.removeValue(forKey: grant) else { return }
        let fact = Self.fact(grant, copy.record)
        log("\(places[index].daemon.name) ends the copy \(fact)")
        if !isBeaten(fact) {
            fail("3: \(grant) of \(fact.origin) ends at \(places[index].daemon.name), though nobody ended it")
        }
        places[index].gone.insert(fact)
    }

    static func fact(_ grant: SharedGrant, _ record: GrantRecord, of node: String = "") -> Fact {
        Fact(grant: grant, origin: record.origin ?? node, issued: record.issued)
    }

    /// Whether somebody really did what ends it.
    func isBeaten(_ fact: Fact) -> Bool {
        ends[fact.grant, default: []].contains { end in
            end.node == fact.origin
                ? fact.issued <= end.at : end.why == .revoked && fact.issued <= end.at + .seconds(10)
        }
    }
}
