import Clock
import Fleet
import FleetRecords
import Testing

@Suite("a node in step") struct InStepTests {
    private func foreign(_ number: UInt32, _ bench: FleetBench) -> (FleetKey, FleetRecord) {
        (.grant(pair: "p", node: "b", FleetBench.grant(number)), .grant(bench.record()))
    }

    private func connect(_ bench: inout FleetBench, foreign count: Int) {
        bench.node.storeConnected(at: bench.now, into: &bench.actions)
        for lease in FleetLease.allCases { bench.node.leaseGranted(lease, at: bench.now) }
        bench.read(StorePage((0..<count).map { foreign(UInt32($0), bench) }, revision: 7, isLast: true))
        bench.read(StorePage([], revision: 7, isLast: true))
    }

    @Test("has offered what it read, and written what it had; not before", arguments: [true, false])
    func caughtUp(hearsDaemonFirst: Bool) {
        var bench = FleetBench()
        let own = Dictionary(
            uniqueKeysWithValues: (10_000..<10_300).map { (FleetBench.grant($0), bench.record()) })
        func hear(_ bench: inout FleetBench) {
            bench.node.resynced(
                live: own, used: [], ended: [:], quarantined: [:], at: bench.now, into: &bench.actions)
        }
        bench.advance(.zero)
        if hearsDaemonFirst { hear(&bench) }
        connect(&bench, foreign: 5000)
        bench.advance(.zero)
        #expect(!bench.node.isSynced)
        if !hearsDaemonFirst { hear(&bench) }
        var (offered, written, wasSynced) = (0, 0, false)
        for _ in 0..<20 where !wasSynced {
            let actions = bench.taken()
            for case .offerGrants(let offers) in actions { offered += offers.count }
            for case .transact(let id, let operations) in actions {
                written += operations.count
                bench.node.transactionEnded(id, succeeded: true, at: bench.now)
            }
            bench.advance(.milliseconds(50))
            wasSynced = bench.node.isSynced
        }
        #expect(wasSynced && offered == 5000 && written == 300)
    }

    @Test("stays so, and becomes so, though others and its own clients change something all the time")
    func busy() {
        for isBusyBefore in [false, true] {
            var bench = FleetBench.inStep()
            #expect(bench.node.isSynced)
            bench.node.storeLost(at: bench.now)
            #expect(!bench.node.isSynced)
            var number: UInt32 = 0
            func change(_ bench: inout FleetBench) {
                number += 1
                let (key, record) = foreign(number, bench)
                bench.watched(.put(key, record))
                bench.node.grantIssued(FleetBench.grant(50_000 + number), bench.record(), at: bench.now)
                bench.node.grantUsed(FleetBench.grant(50_000 + number), at: bench.now)
            }
            if isBusyBefore { change(&bench) }
            connect(&bench, foreign: 10)
            var synced: [Bool] = []
            for _ in 0..<40 {
                change(&bench)
                bench.advance(.milliseconds(20))
                change(&bench)
                _ = bench.written()
                synced.append(bench.node.isSynced)
            }
            #expect(synced.suffix(20).allSatisfy { $0 }, "\(synced)")
        }
    }

    @Test("is none any more when more waits than the store takes, or the daemon begins anew")
    func behind() {
        var bench = FleetBench.inStep()
        for number in 0..<15_000 as Range<UInt32> {
            bench.node.grantIssued(FleetBench.grant(number), bench.record(), at: bench.now)
            bench.node.grantUsed(FleetBench.grant(number), at: bench.now)
        }
        #expect(!bench.node.isSynced)
        for _ in 0..<200 {
            bench.advance(.milliseconds(1))
            _ = bench.written()
        }
        #expect(bench.node.isSynced)
        bench.watched(.put(foreign(1, bench).0, foreign(1, bench).1))
        bench.node.resynced(live: [:], used: [], ended: [:], quarantined: [:], at: bench.now, into: &bench.actions)
        #expect(!bench.node.isSynced)
        for _ in 0..<200 {
            bench.advance(.milliseconds(10))
            _ = bench.written()
        }
        #expect(bench.node.isSynced)
    }

    @Test("is none from a daemon's hello until it has told what it has, and got the copies that it lacks")
    func newDaemon() {
        var bench = FleetBench.inStep()
        bench.watched(.put(foreign(1, bench).0, foreign(1, bench).1))
        bench.advance(.seconds(1))
        _ = bench.taken()
        #expect(bench.node.isSynced)
        bench.node.daemonGreeted()
        bench.advance(.seconds(1))
        let early = bench.taken()
        #expect(!bench.node.isSynced && !early.contains { if case .offerGrants = $0 { true } else { false } })
        bench.node.resynced(live: [:], used: [], ended: [:], quarantined: [:], at: bench.now, into: &bench.actions)
        #expect(!bench.node.isSynced)
        var offered = 0
        for _ in 0..<20 {
            bench.advance(.milliseconds(100))
            for case .offerGrants(let offers) in bench.taken() { offered += offers.count }
        }
        #expect(bench.node.isSynced && offered == 1)
    }

    @Test("is none while a transaction of what it had fails")
    func failing() {
        var bench = FleetBench()
        bench.advance(.zero)
        bench.node.resynced(
            live: [FleetBench.grant(1): bench.record()], used: [], ended: [:], quarantined: [:], at: bench.now,
            into: &bench.actions)
        connect(&bench, foreign: 0)
        for _ in 0..<100 {
            bench.advance(.milliseconds(100))
            for case .transact(let id, _) in bench.taken() {
                bench.node.transactionEnded(id, succeeded: false, at: bench.now)
            }
            #expect(!bench.node.isSynced)
        }
        for _ in 0..<400 {
            bench.advance(.milliseconds(100))
            _ = bench.written()
        }
        #expect(bench.node.isSynced)
    }

    @Test("deletes nothing of an earlier life until its daemon has told what it has")
    func beforeDaemon() {
        var bench = FleetBench()
        bench.advance(.zero)
        bench.node.storeConnected(at: bench.now, into: &bench.actions)
        for lease in FleetLease.allCases { bench.node.leaseGranted(lease, at: bench.now) }
        let (kept, lost) = (FleetBench.grant(1), FleetBench.grant(2))
        let record = bench.record(keep: .seconds(4000))
        bench.read(
            StorePage(
                [kept, lost].map { (.grant(pair: "p", node: "a", $0), .grant(record)) }, revision: 7, isLast: true))
        bench.read(StorePage([], revision: 7, isLast: true))
        for _ in 0..<200 {
            bench.advance(.seconds(5))
            #expect(bench.written() == [])
        }
        bench.node.resynced(
            live: [kept: record], used: [], ended: [:], quarantined: [:], at: bench.now, into: &bench.actions)
        bench.advance(.seconds(1))
        #expect(
            Set(bench.written()) == [
                .put(.grant(pair: "p", node: "a", kept), .grant(record), .records),
                .delete(.grant(pair: "p", node: "a", lost)),
            ])
    }
}
