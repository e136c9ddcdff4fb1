import Addresses
import Clock
import Fleet
import FleetRecords
import TestSupport
import Testing

@Suite("what a node publishes") struct PublishingTests {
    private let grant = FleetBench.grant(7)

    @Test("is a grant at its first use, 100 ms later, in its own subtree")
    func firstUse() {
        var bench = FleetBench.inStep()
        bench.node.grantIssued(grant, bench.record(), at: bench.now)
        bench.advance(.seconds(1))
        #expect(bench.written() == [])
        bench.node.grantUsed(grant, at: bench.now)
        bench.advance(.milliseconds(99))
        #expect(bench.written() == [])
        bench.advance(.milliseconds(1))
        #expect(bench.written().map(\.key) == [.grant(pair: "p", node: "a", grant)])
    }

    @Test("is a grant that nobody used after 5 s")
    func unused() {
        var bench = FleetBench.inStep()
        bench.node.grantIssued(grant, bench.record(), at: bench.now)
        bench.advance(.milliseconds(4999))
        bench.advance(.milliseconds(100))
        bench.advance(.milliseconds(99))
        #expect(bench.written() == [])
        bench.advance(.milliseconds(1))
        #expect(bench.written().map(\.key) == [.grant(pair: "p", node: "a", grant)])
    }

    @Test("is a storm of grants that nobody used as soon as the store takes them, but for the last 1,024")
    func storm() {
        var bench = FleetBench.inStep()
        for number in 0..<5000 {
            bench.node.grantIssued(FleetBench.grant(UInt32(number)), bench.record(), at: bench.now)
        }
        var written: [StoreOperation] = []
        for _ in 0..<90 {
            bench.advance(.milliseconds(50))
            written += bench.written()
        }
        #expect(written.count == 5000 - FleetLimits.unusedMax)
        // The first come first.
        #expect(written.first?.key == .grant(pair: "p", node: "a", FleetBench.grant(0)))
        for _ in 0..<30 {
            bench.advance(.milliseconds(50))
            written += bench.written()
        }
        #expect(Set(written.map(\.key)).count == 5000 && written.count == 5000)
    }

    @Test("is each grant in the end, though more are due at once than the queue holds")
    func manyDue() {
        var bench = FleetBench.inStep()
        bench.node.storeLost(at: bench.now)
        for number in 0..<30_000 {
            bench.node.grantIssued(FleetBench.grant(UInt32(number)), bench.record(), at: bench.now)
        }
        bench.advance(.seconds(6))
        #expect(bench.node.queueCount == FleetLimits.queueMax / 2)
        bench.advance(.seconds(30))
        bench.node.storeConnected(at: bench.now, into: &bench.actions)
        for _ in 0..<2 { bench.read(StorePage([], revision: 7, isLast: true)) }
        var written: Set<FleetKey> = []
        while bench.node.queueCount > 0, written.count < 30_000 {
            bench.advance(.milliseconds(1))
            written.formUnion(bench.written().map(\.key))
        }
        #expect(written.count == 30_000)
        #expect(bench.node.counters.changesDropped == 0)
    }

    @Test("is a use again only when the published one is older than a quarter of keep")
    func refresh() {
        var bench = FleetBench.inStep()
        bench.node.grantIssued(grant, bench.record(), at: bench.now)
        bench.node.grantUsed(grant, at: bench.now)
        bench.advance(.milliseconds(100))
        #expect(bench.written().count == 1)
        bench.advance(.seconds(99))
        bench.node.grantUsed(grant, at: bench.now)
        bench.advance(.milliseconds(100))
        #expect(bench.written() == [])
        bench.advance(.seconds(2))
        bench.node.grantUsed(grant, at: bench.now)
        bench.advance(.milliseconds(100))
        #expect(bench.written().count == 1)
    }

    @Test("comes in transactions of at most 128, one at a time, and each key once")
    func transactions() {
        var bench = FleetBench.inStep()
        for number in 0..<200 {
            bench.node.grantIssued(FleetBench.grant(UInt32(number)), bench.record(), at: bench.now)
            for _ in 0..<3 { bench.node.grantUsed(FleetBench.grant(UInt32(number)), at: bench.now) }
        }
        bench.advance(.zero)
        bench.advance(.seconds(1))
        let first = bench.taken()
        #expect(first.count == 1)
        guard case .transact(let id, let operations)? = first.first else { return }
        #expect(operations.count == 128)
        bench.node.transactionEnded(id, succeeded: true, at: bench.now)
        bench.advance(.zero)
        #expect(bench.written().count == 72)
    }

    @Test("is tried again when a response is lost, with what is true by then")
    func lost() {
        var bench = FleetBench.inStep()
        bench.node.grantIssued(grant, bench.record(), at: bench.now)
        bench.node.grantUsed(grant, at: bench.now)
        bench.advance(.milliseconds(100))
        guard case .transact(let id, _)? = bench.taken().first else { return #expect(Bool(false)) }
        bench.node.grantEnded(grant, EndedRecord(at: bench.now.wall, why: .revoked), at: bench.now)
        bench.node.transactionEnded(id, succeeded: false, at: bench.now)
        bench.advance(.seconds(1))
        #expect(
            bench.written() == [
                .delete(.grant(pair: "p", node: "a", grant)),
                .put(
                    .ended(pair: "p", node: "a", grant),
                    .ended(EndedRecord(at: FleetBench.start + .milliseconds(100), why: .revoked)), .records),
            ])
    }

    @Test("waits in a bounded queue while the store is away, and is compared with the store afterwards")
    func away() {
        var bench = FleetBench.inStep()
        bench.node.storeLost(at: bench.now)
        let count = FleetLimits.queueMax + 500
        for number in 0..<count {
            bench.node.grantIssued(
                FleetBench.grant(UInt32(number)), bench.record(keep: .seconds(86_400)), at: bench.now)
            bench.node.grantUsed(FleetBench.grant(UInt32(number)), at: bench.now)
        }
        #expect(bench.node.queueCount == FleetLimits.queueMax)
        #expect(bench.node.counters.changesDropped == 500)
        bench.node.storeConnected(at: bench.now, into: &bench.actions)
        bench.read(StorePage([], revision: 9, isLast: true))
        bench.read(StorePage([], revision: 9, isLast: true))
        var written: Set<FleetKey> = []
        for _ in 0..<400 where written.count < count {
            bench.advance(.milliseconds(100))
            written.formUnion(bench.written().map(\.key))
        }
        #expect(written.count == count)
    }

    @Test("is connected with a random delay that grows to 30 s")
    func backOff() {
        var bench = FleetBench()
        var longest = Duration.zero
        for attempt in 0..<40 {
            var waited = Duration.zero
            while !bench.taken().contains(.connect) {
                bench.advance(.milliseconds(50))
                waited += .milliseconds(50)
            }
            if attempt < 3 { #expect(waited <= .seconds(1)) }
            longest = max(longest, waited)
            bench.node.storeLost(at: bench.now)
        }
        #expect(longest > .seconds(15) && longest <= .milliseconds(30_050))
    }

    @Test("is no grant without a pair, but its quarantines and its status")
    func noPair() {
        var bench = FleetBench.inStep { $0.pair = nil }
        let status = NodeStatus(
            version: "1", mode: "enforce", serial: 0, grants: 1, denialsPerHour: 0, since: FleetBench.start)
        let client = ip("203.0.113.1")
        bench.node.resynced(
            live: [FleetBench.grant(8): bench.record()], used: [],
            ended: [FleetBench.grant(9): EndedRecord(at: FleetBench.start, why: .revoked)], quarantined: [:],
            at: bench.now, into: &bench.actions)
        bench.node.grantIssued(grant, bench.record(), at: bench.now)
        bench.node.grantUsed(grant, at: bench.now)
        bench.node.grantEnded(grant, EndedRecord(at: bench.now.wall, why: .revoked), at: bench.now)
        for _ in 0..<3 { bench.advance(.seconds(3)) }
        #expect(bench.taken() == [])
        bench.node.clientQuarantined(client, bench.quarantine(), at: bench.now)
        bench.node.statusChanged(status, at: bench.now)
        bench.advance(.seconds(6))
        #expect(bench.written().map(\.key) == [.quarantine(node: "a", client), .status(node: "a")])
        #expect(bench.node.isSynced)
    }

    @Test("is its status when that changes, and under a new lease")
    func status() {
        var bench = FleetBench.inStep()
        let status = NodeStatus(
            version: "1", mode: "enforce", serial: 0, grants: 1, denialsPerHour: 0, since: FleetBench.start)
        for expected in [1, 0] {
            bench.node.statusChanged(status, at: bench.now)
            bench.advance(.milliseconds(100))
            #expect(bench.written().count == expected)
        }
        bench.node.leaseGranted(.status, at: bench.now)
        bench.advance(.milliseconds(100))
        #expect(bench.written().map(\.key) == [.status(node: "a")])
    }

    @Test(
        "reads and watches what it takes over, or else the quarantines for their revision",
        arguments: [
            (nil, false, [.quarantines]), (nil, true, [.quarantines]), ("p", false, [.pair]),
            ("p", true, [.pair, .quarantines]),
        ] as [(String?, Bool, [FleetRange])])
    func ranges(pair: String?, acceptsQuarantines: Bool, expected: [FleetRange]) {
        var bench = FleetBench {
            $0.pair = pair
            $0.acceptsQuarantines = acceptsQuarantines
        }
        bench.advance(.zero)
        bench.node.storeConnected(at: bench.now, into: &bench.actions)
        var read: [FleetRange] = []
        for _ in 0..<expected.count {
            for case .read(let range, _, _, _) in bench.taken() { read.append(range) }
            bench.read(StorePage([], revision: 7, isLast: true))
        }
        #expect(read == expected)
        #expect(bench.taken() == [.watch(from: 8)])
    }

    @Test("is no status without a lease for it, which would stay for good")
    func statusWithoutLease() {
        var bench = FleetBench.inStep()
        let status = NodeStatus(
            version: "1", mode: "enforce", serial: 0, grants: 1, denialsPerHour: 0, since: FleetBench.start)
        bench.node.leaseLost(.status, at: bench.now, into: &bench.actions)
        bench.node.statusChanged(status, at: bench.now)
        bench.advance(.seconds(1))
        #expect(bench.written() == [])
        bench.node.leaseGranted(.status, at: bench.now)
        bench.advance(.seconds(1))
        #expect(bench.written().map(\.key) == [.status(node: "a")])
    }

    @Test("is under a lease of this connection: one that is granted after it was lost is asked for again")
    func lateLease() {
        var bench = FleetBench.inStep()
        bench.node.leaseLost(.records, at: bench.now, into: &bench.actions)
        bench.node.storeLost(at: bench.now)
        bench.node.leaseGranted(.records, at: bench.now)
        bench.actions = []
        bench.node.storeConnected(at: bench.now, into: &bench.actions)
        let asked = bench.taken().compactMap { action -> FleetLease? in
            if case .grantLease(let lease, _) = action { lease } else { nil }
        }
        #expect(asked == [.records])
    }

    @Test("is no more grants than a node may have, those of others that are used here among them")
    func manyOwn() {
        var bench = FleetBench.inStep { $0.grantsMax = 10 }
        let record = bench.record(keep: .seconds(86_400))
        for number in 0..<UInt32(FleetLimits.ownGrantsMax) {
            bench.node.grantIssued(FleetBench.grant(number), record, at: bench.now)
        }
        let next = FleetBench.grant(UInt32(FleetLimits.ownGrantsMax))
        bench.node.grantIssued(next, record, at: bench.now)
        #expect(bench.node.grantRows(of: next).isEmpty)
        let foreign = FleetBench.grant(UInt32(FleetLimits.ownGrantsMax) + 1)
        bench.watched(.put(.grant(pair: "p", node: "b", foreign), .grant(record)))
        bench.advance(.seconds(1))
        bench.node.grantUsed(foreign, at: bench.now)
        #expect(bench.node.grantRows(of: foreign).map(\.node) == ["b"])
    }

    @Test("is its status again where the connection broke before the store had told that it was written")
    func statusLost() {
        var bench = FleetBench.inStep()
        let status = NodeStatus(
            version: "1", mode: "enforce", serial: 0, grants: 1, denialsPerHour: 0, since: FleetBench.start)
        bench.node.statusChanged(status, at: bench.now)
        bench.advance(.milliseconds(100))
        #expect(bench.taken().count == 1)
        bench.node.storeLost(at: bench.now)
        bench.node.storeConnected(at: bench.now, into: &bench.actions)
        for _ in 0..<2 { bench.read(StorePage([], revision: 7, isLast: true)) }
        bench.advance(.milliseconds(100))
        #expect(bench.written().map(\.key) == [.status(node: "a")])
    }

    @Test("is no end of another node's grant that this node's policy doesn't permit")
    func copyEndedByPolicy() {
        for why in EndedRecord.Reason.allCases {
            var bench = FleetBench.inStep()
            bench.watched(.put(.grant(pair: "p", node: "b", grant), .grant(bench.record())))
            bench.advance(.milliseconds(100))
            #expect(bench.offers().count == 1)
            bench.node.grantEnded(grant, EndedRecord(at: bench.now.wall, why: why), at: bench.now)
            bench.advance(.seconds(1))
            let isTold = bench.written().map(\.key).contains(.ended(pair: "p", node: "a", grant))
            #expect(isTold == (why == .revoked))
        }
    }

    @Test("is the latest use, whatever the order in which uses are told")
    func usesOutOfOrder() {
        var bench = FleetBench.inStep()
        bench.advance(.seconds(60))
        let record = bench.record()
        bench.node.grantIssued(grant, record, at: bench.now)
        for seconds in [50, -50] {
            bench.node.grantUsed(grant, at: Moment(bench.now.instant, record.used + .seconds(seconds)))
        }
        bench.advance(.milliseconds(100))
        let used = bench.written().compactMap { operation -> Timestamp? in
            if case .put(_, .grant(let record), _) = operation { record.used } else { nil }
        }
        #expect(used == [record.used + .seconds(50)])
    }
}
