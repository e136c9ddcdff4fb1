import Addresses
import Clock
import Fleet
import FleetRecords

/// The five principles, each as what can be seen at every step.
extension Simulation.Place {
    var hasOwnGrants: Bool {
        guard daemon.own.count == reference.count else { return false }
        for (grant, live) in daemon.own where reference[grant] != live.record { return false }
        return true
    }
}

extension Simulation {
    mutating func check() {
        let isLong = now - calmFrom > Self.bound && ticks - calmTicks > Self.boundTicks
        for place in places {
            // 1. The daemon's own grants are what they would be without a fleet; nothing waits for the store.
            if !place.hasOwnGrants { fail("1: the own grants of \(place.daemon.name) differ") }
            // 5. Grants are of a pair, not of a quorum: the queue is bounded, however long the store is away.
            if place.node.queueCount > FleetLimits.queueMax { fail("5: the queue of \(place.daemon.name) is too long") }
            for (grant, copy) in place.daemon.copies {
                // 2. Only what local policy permits.
                if !place.daemon.permits(grant) { fail("2: \(place.daemon.name) has \(grant) against its policy") }
                // 4. By program: the port is this node's own.
                if copy.port != place.daemon.port(of: grant.program) {
                    fail("4: \(grant) opens the port of another node")
                }
            }
        }
        // 3. Revocation is a record of its own, and reaches everybody within a bound.
        for (fact, at, tick) in revocations
        where isLong && now - at > Self.bound && ticks - tick > Self.boundTicks {
            for place in places {
                guard let copy = place.daemon.copies[fact.grant], Self.fact(fact.grant, copy.record) == fact else {
                    continue
                }
                fail("3: \(fact.grant) of \(fact.origin) was revoked, and is still at \(place.daemon.name)")
            }
        }
    }

    mutating func checkOperations(_ operations: [StoreOperation], _ index: Int) {
        let name = places[index].daemon.name
        if operations.count > FleetLimits.operationsMax { fail("a transaction of \(operations.count)") }
        if Set(operations.map(\.key)).count < operations.count { fail("a key twice in a transaction") }
        if let other = operations.first(where: { $0.key.writer != name }) { fail("2: \(name) writes \(other.key)") }
    }

    mutating func checkQuarantines(_ offers: [QuarantineOffer], _ index: Int) {
        note("quarantine offered")
        let moment = places[index].moment(at: now)
        for offer in offers {
            if offer.until > moment.wall + .seconds(600) { fail("2: a quarantine longer than this node's own") }
            if offer.nodes.count < (places.count > 2 ? 2 : 1) { fail("2: a quarantine without a quorum") }
            if offer.nodes.contains(places[index].daemon.name) { fail("2: a quarantine of this node itself") }
        }
    }

    /// After a quiet time: the union of the live grants is at each node whose policy permits it.
    mutating func checkConvergence() {
        for place in places {
            for (grant, live) in place.daemon.own where live.ends - now > live.record.keep / 2 {
                expect(grant, Self.fact(grant, live.record, of: place.daemon.name), from: place.daemon.name)
            }
            for (grant, live) in place.daemon.copies where live.isUsed && live.ends - now > live.record.keep / 2 {
                expect(grant, Self.fact(grant, live.record), from: place.daemon.name)
            }
        }
        for place in places {
            if !place.node.isSynced { fail("converge: \(place.daemon.name) is not in step") }
            let wanted = Set(place.daemon.own.keys)
            let stored = store.records.keys.filter { $0.writer == place.daemon.name }
            for case .grant(_, _, let grant) in stored
            where !wanted.contains(grant) && place.daemon.copies[grant] == nil {
                fail("converge: \(place.daemon.name) left \(grant) in the store")
            }
        }
    }

    private mutating func expect(_ grant: SharedGrant, _ fact: Fact, from name: String) {
        guard !isBeaten(fact) else { return }
        for other in places where other.daemon.name != name && other.daemon.permits(grant) {
            if other.daemon.own[grant] == nil, other.daemon.copies[grant] == nil {
                fail("converge: \(grant) of \(name) is missing at \(other.daemon.name)")
            }
        }
    }
}
