import Addresses
import Clock
import Fleet
import TestSupport
import Testing

@Suite("what a node takes over") struct ImportTests {
    private let grant = FleetBench.grant(7)

    private func put(_ grant: SharedGrant, of node: String = "b", _ record: GrantRecord) -> StoreChange {
        .put(.grant(pair: "p", node: node, grant), .grant(record))
    }

    private func ended(_ grant: SharedGrant, by node: String = "b", at time: Timestamp) -> StoreChange {
        .put(.ended(pair: "p", node: node, grant), .ended(EndedRecord(at: time, why: .revoked)))
    }

    @Test("is another node's grant, minus its age; not its own, nor one that is over, nor of another pair")
    func offer() {
        var bench = FleetBench.inStep()
        let record = bench.record(issued: .seconds(-100))
        bench.watched(
            put(grant, record), put(FleetBench.grant(8), of: "a", record),
            put(FleetBench.grant(9), bench.record(issued: .seconds(-401))),
            .put(.grant(pair: "q", node: "b", FleetBench.grant(10)), .grant(record)))
        bench.advance(.zero)
        let offers = bench.offers()
        #expect(offers.map(\.grant) == [grant])
        #expect(offers.first?.age == .seconds(100))
    }

    @Test("comes in batches of 4,096, ten a second, and up to a limit")
    func batches() {
        var bench = FleetBench.inStep { $0.grantsMax = 5000 }
        for number in 0..<5100 {
            bench.watched(put(FleetBench.grant(UInt32(number)), bench.record(keep: .seconds(86_400))))
        }
        bench.advance(.zero)
        #expect(bench.offers().count == 4096)
        bench.advance(.milliseconds(99))
        #expect(bench.offers() == [])
        bench.advance(.milliseconds(1))
        #expect(bench.offers().count == 5000 - 4096)
        #expect(bench.node.counters.grantsRefused == 100)
        // Whose place is free again, is offered at the next comparison.
        for number in 0..<10 { bench.node.grantEnded(FleetBench.grant(UInt32(number)), .revoked, at: bench.now) }
        bench.advance(.milliseconds(100))
        #expect(bench.offers() == [])
        for _ in 0..<121 { bench.advance(.seconds(6)) }
        #expect(bench.offers().count == 10)
    }

    @Test("is never ended by a deletion, nor offered anew after one")
    func deletion() {
        var bench = FleetBench.inStep()
        bench.watched(put(grant, bench.record()))
        bench.advance(.zero)
        #expect(bench.offers().count == 1)
        bench.watched(.delete(.grant(pair: "p", node: "b", grant)))
        bench.advance(.seconds(1))
        #expect(bench.taken() == [])
    }

    @Test("ends with a record of its own, and a later grant beats that")
    func ending() {
        var bench = FleetBench.inStep()
        bench.watched(put(grant, bench.record()))
        bench.advance(.seconds(1))
        #expect(bench.offers().count == 1)
        bench.watched(ended(grant, at: bench.now.wall))
        bench.advance(.seconds(1))
        #expect(bench.taken().contains(.endCopy(grant)))
        bench.watched(put(grant, bench.record()))
        bench.advance(.seconds(1))
        #expect(bench.offers().map(\.grant) == [grant])
    }

    @Test("stays ended when a restored backup tells an older end")
    func olderEnd() {
        var bench = FleetBench.inStep()
        let early = bench.now.wall + .seconds(-100)
        bench.watched(
            ended(grant, at: bench.now.wall), ended(grant, at: early),
            put(grant, bench.record(issued: .seconds(-50))))
        bench.advance(.seconds(1))
        #expect(bench.offers() == [])
    }

    @Test("stays revoked when a later end by policy takes the same key")
    func policyAfterRevocation() {
        var bench = FleetBench.inStep()
        let revoked = EndedRecord(at: bench.now.wall, why: .revoked)
        let policy = EndedRecord(at: bench.now.wall + .seconds(30), why: .policy)
        bench.watched(
            .put(.ended(pair: "p", node: "c", grant), .ended(policy.merged(with: revoked))),
            put(grant, bench.record(issued: .seconds(-50))),
            put(FleetBench.grant(8), bench.record(issued: .seconds(-50))),
            .put(.ended(pair: "p", node: "c", FleetBench.grant(8)), .ended(policy)))
        bench.advance(.seconds(1))
        #expect(bench.offers().map(\.grant) == [FleetBench.grant(8)])
    }

    @Test("between two clocks, a grant counts as older than what ended up to 10 s before it")
    func clocks() {
        var bench = FleetBench.inStep()
        bench.watched(
            ended(grant, by: "c", at: bench.now.wall), put(grant, bench.record(issued: .seconds(10))))
        bench.advance(.seconds(20))
        #expect(bench.offers() == [])
        bench.watched(put(grant, bench.record(issued: .milliseconds(-9999))))
        bench.advance(.seconds(1))
        #expect(bench.offers().count == 1)
    }

    @Test("with a time more than 60 s ahead is clamped, counted, and beaten by whatever ended")
    func future() {
        var bench = FleetBench.inStep()
        let record = bench.record(issued: .seconds(3600))
        bench.watched(put(grant, record))
        bench.advance(.zero)
        #expect(bench.offers().first?.age == .zero)
        #expect(bench.node.counters.clampedTimes == 1)
        bench.advance(.seconds(300))
        bench.watched(put(grant, record))
        #expect(bench.node.counters.clampedTimes == 1)
        bench.watched(ended(grant, at: bench.now.wall))
        bench.advance(.seconds(1))
        #expect(bench.taken().contains(.endCopy(grant)))
    }

    @Test("is the later of two grants, and stays it: nodes don't take each other's copies by turns")
    func order() {
        var bench = FleetBench.inStep()
        let late = bench.record(issued: .seconds(-10))
        var early = bench.record(issued: .seconds(-50))
        bench.watched(put(grant, late), put(grant, of: "c", early))
        bench.advance(.seconds(1))
        #expect(bench.offers().map(\.node) == ["b"])
        bench.advance(.seconds(200))
        early.used = bench.now.wall
        bench.watched(put(grant, of: "c", early))
        bench.advance(.seconds(1))
        #expect(bench.offers() == [])
    }

    @Test("never ends a grant that this node's daemon issued itself")
    func own() {
        var bench = FleetBench.inStep()
        bench.watched(put(grant, bench.record()))
        bench.advance(.zero)
        bench.node.grantIssued(grant, bench.record(), at: bench.now)
        bench.watched(ended(grant, at: bench.now.wall + .seconds(30)))
        bench.advance(.seconds(1))
        #expect(!bench.taken().contains(.endCopy(grant)))
    }

    @Test("is a quarantine by TCP, for no longer than its own")
    func quarantine() {
        var bench = FleetBench.inStep()
        let (first, second) = (ip("203.0.113.1"), ip("203.0.113.2"))
        bench.watched(
            .put(.quarantine(node: "b", first), .quarantine(bench.quarantine())),
            .put(.quarantine(node: "b", second), .quarantine(bench.quarantine(for: .seconds(60), .udp))))
        let offers = bench.quarantineOffers()
        #expect(offers.map(\.client) == [first])
        #expect(offers.map(\.until) == [bench.now.wall + .seconds(600)])
    }

    @Test("is a quarantine when a quorum says so, and none for an hour after its release here")
    func quorum() {
        var bench = FleetBench.inStep { $0.quorum = 2 }
        let client = ip("203.0.113.1")
        bench.watched(.put(.quarantine(node: "b", client), .quarantine(bench.quarantine())))
        #expect(bench.quarantineOffers() == [])
        bench.node.clientReleased(client, at: bench.now)
        bench.watched(.put(.quarantine(node: "c", client), .quarantine(bench.quarantine())))
        #expect(bench.quarantineOffers() == [])
        bench.advance(.seconds(3600))
        bench.watched(.put(.quarantine(node: "c", client), .quarantine(bench.quarantine())))
        #expect(bench.quarantineOffers().map(\.nodes) == [["b", "c"]])
    }

    @Test("is at most 512 quarantines of one node, and 4,096 in all")
    func quarantineLimits() {
        var bench = FleetBench.inStep()
        for node in 0..<10 {
            for number in 0..<600 {
                let client = IPAddress.v4(0xcb00_0000 + UInt32(node * 1000 + number))
                bench.watched(.put(.quarantine(node: "n\(node)", client), .quarantine(bench.quarantine())))
            }
            if node == 0 { #expect(bench.quarantineOffers().count == 512) }
        }
        #expect(bench.quarantineOffers().count == 4096 - 512)
        #expect(bench.node.counters.quarantinesRefused == 6000 - 4096)
    }

    @Test("is read in pages of one revision, watched from the next, and read anew after a compaction")
    func start() {
        var bench = FleetBench()
        bench.advance(.zero)
        #expect(bench.taken() == [.connect])
        bench.node.storeConnected(at: bench.now, into: &bench.actions)
        #expect(bench.taken().last == .read(.pair, after: nil, revision: nil, max: 2000))
        let key = FleetKey.grant(pair: "p", node: "b", grant)
        bench.read(StorePage([(key, .grant(bench.record()))], revision: 41, isLast: false))
        #expect(bench.taken() == [.read(.pair, after: key, revision: 41, max: 2000)])
        bench.read(StorePage([], revision: 44, isLast: true))
        #expect(bench.taken() == [.read(.quarantines, after: nil, revision: 41, max: 2000)])
        bench.read(StorePage([], revision: 45, isLast: true))
        #expect(bench.taken() == [.watch(from: 42)])
        bench.node.compacted(at: bench.now, into: &bench.actions)
        #expect(bench.taken() == [.read(.pair, after: nil, revision: nil, max: 2000)])
    }
}
