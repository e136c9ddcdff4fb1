import Addresses
import Clock
import Fleet
import FleetRecords
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

    @Test("is nothing that this node issued itself, until that is over")
    func issuedHere() {
        var bench = FleetBench.inStep()
        bench.node.grantIssued(grant, bench.record(), at: bench.now)
        bench.watched(put(grant, bench.record(keep: .seconds(4000))))
        bench.advance(.seconds(1))
        #expect(bench.offers() == [])
        bench.node.grantExpired(grant, at: bench.now)
        bench.advance(.seconds(1))
        #expect(bench.offers().map(\.grant) == [grant])
    }

    @Test("that was used in the future, by its node's clock, counts as used now: it ends")
    func usedInFuture() {
        var bench = FleetBench.inStep()
        let (now, keep) = (bench.now.wall, Duration.seconds(400))
        bench.watched(
            put(grant, GrantRecord(issued: now, used: now + .seconds(86_400), rule: "", keep: keep)),
            put(FleetBench.grant(8), GrantRecord(issued: now, used: now + .seconds(60), rule: "", keep: keep)))
        bench.advance(.zero)
        #expect(bench.offers().map(\.age) == [.zero, .zero])
        #expect(bench.node.counters.clampedTimes == 1)
        for _ in 0..<240 { bench.advance(.seconds(6)) }
        #expect(bench.node.knownGrants == [])
    }

    @Test("that another node ended leaves its place to the next")
    func endedLeavesPlace() {
        var bench = FleetBench.inStep { $0.grantsMax = 2 }
        for number in UInt32(1)...3 {
            bench.watched(put(FleetBench.grant(number), bench.record()))
            bench.advance(.milliseconds(100))
            #expect(bench.offers().map(\.grant) == [FleetBench.grant(number)])
            bench.watched(ended(FleetBench.grant(number), at: bench.now.wall))
            bench.advance(.milliseconds(100))
            #expect(bench.taken() == [.endCopy(FleetBench.grant(number))])
        }
    }

    @Test("has a bound for what all nodes say together")
    func manyWriters() {
        var bench = FleetBench.inStep { $0.grantsMax = 10 }
        for number in 0..<20 {
            for writer in 0..<64 {
                bench.watched(
                    put(FleetBench.grant(UInt32(number)), of: "n\(writer)", bench.record()),
                    ended(FleetBench.grant(UInt32(number)), by: "n\(writer)", at: bench.now.wall))
            }
        }
        func known(_ bench: FleetBench) -> Int { bench.node.knownGrants.flatMap(bench.node.grantRows).count }
        #expect(bench.node.counters.grantsRefused == 20 * 64 * 2 - 10 * FleetLimits.foreignRecordsFactor)
        #expect(known(bench) == 10 * FleetLimits.foreignRecordsFactor / 2)
        // What is over makes room.
        for _ in 0..<130 { bench.advance(.seconds(6)) }
        bench.watched(put(FleetBench.grant(100), bench.record()))
        #expect(known(bench) == 1)
    }

    @Test("has a bound for the nodes that have a say about one grant, or have ended it")
    func manyWritersOfOne() {
        var bench = FleetBench.inStep()
        for writer in 0...FleetLimits.writersMax {
            bench.watched(put(grant, of: "n\(writer)", bench.record()))
        }
        #expect(bench.node.grantRows(of: grant).count == FleetLimits.writersMax)
        #expect(bench.node.counters.grantsRefused == 1)
        for writer in 0...FleetLimits.writersMax {
            bench.watched(ended(grant, by: "n\(writer)", at: bench.now.wall + .seconds(-1)))
        }
        #expect(bench.node.counters.grantsRefused == 2)
    }

    @Test("has a bound for the grants that are said to have ended, be they known or not")
    func manyEnded() {
        var bench = FleetBench.inStep { $0.grantsMax = 10 }
        for number in UInt32(0)..<30 { bench.watched(ended(FleetBench.grant(number), at: bench.now.wall)) }
        #expect(bench.node.knownGrants.count == 20)
        #expect(bench.node.counters.grantsRefused == 10)
    }

    @Test("is nothing that the daemon remembers to have ended since, whoever offers it")
    func endedHere() {
        var bench = FleetBench.inStep()
        let end = EndedRecord(at: bench.now.wall, why: .revoked)
        bench.node.resynced(
            live: [:], used: [], ended: [grant: end], quarantined: [:], at: bench.now, into: &bench.actions)
        bench.watched(
            put(grant, bench.record(issued: .seconds(-60))), put(FleetBench.grant(8), bench.record()))
        bench.advance(.seconds(1))
        #expect(bench.offers().map(\.grant) == [FleetBench.grant(8)])
    }

    @Test("is judged anew when this host's clock is set: what was of the future isn't any more")
    func clockSet() {
        var bench = FleetBench.inStep()
        // It booted with the time of a year ago.
        let right = bench.now.wall
        bench.set(right + .seconds(-365 * 86_400))
        for _ in 0..<2 { bench.advance(FleetLimits.backOffFirst) }
        #expect(bench.taken().contains(.hearDaemonAnew))
        for _ in 0..<2 { bench.read(StorePage([], revision: 8, isLast: true)) }
        let record = GrantRecord(
            issued: right + .seconds(-100), used: right + .seconds(-90), rule: "", keep: .seconds(86_400))
        bench.watched(put(grant, record), ended(grant, by: "c", at: right + .seconds(-200)))
        bench.advance(.milliseconds(100))
        #expect(bench.offers() == [])
        bench.set(right)
        for _ in 0..<20 { bench.advance(.milliseconds(100)) }
        let actions = bench.taken()
        #expect(actions.contains(.hearDaemonAnew))
        // What was forgotten as being over is read again.
        #expect(actions.contains(.read(.pair, after: nil, revision: nil, max: 2000)))
        // The end was before its issue, by clocks that can be compared.
        let offers = actions.flatMap { action -> [GrantOffer] in
            if case .offerGrants(let offers) = action { offers } else { [] }
        }
        #expect(offers.map(\.grant) == [grant])
        #expect(offers.allSatisfy { $0.age >= .seconds(90) })
        bench.advance(.seconds(59))
        #expect(bench.taken().allSatisfy { $0 != .hearDaemonAnew })
    }

    @Test("is ended by what was said, once the time of this host is right again", arguments: [-1, 1])
    func clockSetBack(years: Int64) {
        var bench = FleetBench.inStep()
        let right = bench.now.wall
        bench.set(right + .seconds(years * 365 * 86_400))
        bench.advance(.zero)
        bench.watched(ended(grant, at: right + .seconds(-10)), ended(grant, by: "c", at: right + .seconds(50 * 86_400)))
        bench.set(right)
        bench.advance(.zero)
        // The one of the future counts as of now, at most.
        for (issued, isTaken) in [(-20, false), (-5, false), (0, false), (11, true)] as [(Int64, Bool)] {
            bench.watched(put(grant, bench.record(issued: .seconds(issued))))
            bench.advance(.milliseconds(100))
            #expect(bench.offers().isEmpty != isTaken, "\(issued)")
        }
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
        let end = EndedRecord(at: bench.now.wall, why: .revoked)
        for number in 0..<10 { bench.node.grantEnded(FleetBench.grant(UInt32(number)), end, at: bench.now) }
        bench.advance(.milliseconds(100))
        #expect(bench.offers() == [])
        for _ in 0..<121 { bench.advance(.seconds(6)) }
        #expect(bench.offers().count == 10)
    }

    @Test("makes room once it is over at the daemon, which tells nothing of what it refused or of what waited in vain")
    func generations() {
        var bench = FleetBench.inStep { $0.grantsMax = 10 }
        for generation in 0..<20 {
            let grants = (0..<10).map { FleetBench.grant(UInt32(generation * 10 + $0)) }
            for grant in grants { bench.watched(put(grant, bench.record())) }
            bench.advance(.milliseconds(100))
            #expect(bench.offers().map(\.grant) == grants, "generation \(generation)")
            // At the limit, what is there already is prolonged all the same.
            bench.advance(.seconds(200))
            bench.watched(
                put(
                    grants[0],
                    GrantRecord(
                        issued: bench.now.wall + .seconds(-200), used: bench.now.wall, rule: "nas", keep: .seconds(400))
                ))
            bench.advance(.milliseconds(100))
            #expect(bench.offers().map(\.grant) == [grants[0]])
            for _ in 0..<250 { bench.advance(.seconds(6)) }
            _ = bench.taken()
        }
        #expect(bench.node.counters.grantsRefused == 0)
        #expect(bench.node.knownGrants == [])
    }

    @Test("keeps its place while it is used here, though its own node is silent")
    func usedHere() {
        var bench = FleetBench.inStep { $0.grantsMax = 1 }
        bench.watched(put(grant, bench.record()))
        bench.advance(.milliseconds(100))
        #expect(bench.offers().map(\.grant) == [grant])
        bench.node.grantUsed(grant, at: bench.now)
        for _ in 0..<300 { bench.advance(.seconds(6)) }
        bench.watched(put(FleetBench.grant(8), bench.record()))
        bench.advance(.milliseconds(100))
        #expect(bench.offers() == [])
        // What the daemon told it has counts from then on.
        let record = GrantRecord(
            issued: bench.now.wall, used: bench.now.wall, rule: "", keep: .seconds(400), origin: "b")
        bench.node.resynced(
            live: [grant: record], used: [], ended: [:], quarantined: [:], at: bench.now, into: &bench.actions)
        bench.watched(put(FleetBench.grant(8), bench.record(keep: .seconds(4000))))
        bench.advance(.milliseconds(100))
        #expect(bench.offers() == [])
        for _ in 0..<300 { bench.advance(.seconds(6)) }
        #expect(bench.offers().map(\.grant) == [FleetBench.grant(8)])
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

    @Test(
        "of this node that ended in the future did so now: such a record of its own key is written anew, and goes in time"
    )
    func ownEndOfTheFuture() {
        var bench = FleetBench.inStep()
        let key = FleetKey.ended(pair: "p", node: "a", grant)
        bench.watched(ended(grant, by: "a", at: Timestamp(milliseconds: 253_402_300_799_000)))
        let heard = bench.now.wall
        for _ in 0..<200 { bench.advance(.seconds(5)) }
        #expect(bench.written().contains(.put(key, .ended(EndedRecord(at: heard, why: .revoked)), .records)))
    }

    /// Revoked by this node, and published by another one that was away for a day and more, whose client used it.
    @Test("is nothing that this node revoked long ago, as long as a node has it", arguments: [26, 29 * 24, 35 * 24])
    func revokedLongAgo(hours: Int) {
        var bench = FleetBench.inStep { $0.keepMax = .seconds(86_400) }
        let issued = bench.now.wall
        let (revoked, policy) = (FleetBench.grant(1), FleetBench.grant(2))
        for (grant, why) in [(revoked, EndedRecord.Reason.revoked), (policy, .policy)] {
            bench.node.grantIssued(grant, bench.record(keep: .seconds(86_400)), at: bench.now)
            bench.node.grantUsed(grant, at: bench.now)
            bench.advance(.seconds(60))
            bench.node.grantEnded(grant, EndedRecord(at: bench.now.wall, why: why), at: bench.now)
        }
        func put(_ bench: inout FleetBench) {
            for grant in [revoked, policy] {
                let record = GrantRecord(
                    issued: issued, used: bench.now.wall, rule: "", keep: .seconds(86_400), origin: "a")
                bench.watched(self.put(grant, of: "c", record))
            }
        }
        var offered: Set<SharedGrant> = []
        for hour in 0..<hours {
            for _ in 0..<60 {
                bench.advance(.seconds(60))
                for case .offerGrants(let offers) in bench.actions { offered.formUnion(offers.map(\.grant)) }
                _ = bench.written()
            }
            // From the second day on it is there, and is ended there neither.
            if hour >= 25 { put(&bench) }
        }
        bench.advance(.milliseconds(100))
        offered.formUnion(bench.offers().map(\.grant))
        #expect(!offered.contains(revoked))
        #expect(offered.contains(policy))
    }

    @Test(
        "of this node that ended stays so, though the clock is ahead at the boot; when it has long been right, it goes")
    func ownEndAfterBoot() {
        var bench = FleetBench { $0.keepMax = .seconds(86_400) }
        let right = bench.now.wall
        bench.set(right + .seconds(60 * 86_400))
        bench.node = FleetNode(bench.node.settings, seed: 1, at: bench.now)
        bench.advance(.zero)
        bench.node.storeConnected(at: bench.now, into: &bench.actions)
        for lease in FleetLease.allCases { bench.node.leaseGranted(lease, at: bench.now) }
        let key = FleetKey.ended(pair: "p", node: "a", grant)
        let end = FleetRecord.ended(EndedRecord(at: right + .seconds(-100), why: .revoked))
        bench.read(StorePage([(key, end)], revision: 7, isLast: true))
        bench.read(StorePage([], revision: 7, isLast: true))
        bench.node.resynced(live: [:], used: [], ended: [:], quarantined: [:], at: bench.now, into: &bench.actions)
        for _ in 0..<20 { bench.advance(.milliseconds(100)) }
        #expect(bench.written().allSatisfy { $0 == .put(key, end, .records) })
        // Nobody sets it.
        for _ in 0..<900 { bench.advance(.seconds(6)) }
        #expect(bench.written().contains(.delete(key)))
    }

    @Test("of this node that was ended by a clock that was ahead ended when that was set, and is written so")
    func ownEndAhead() {
        var bench = FleetBench.inStep()
        let key = FleetKey.ended(pair: "p", node: "a", grant)
        let right = bench.now.wall
        bench.set(right + .seconds(3 * 3600))
        for _ in 0..<2 { bench.advance(FleetLimits.backOffFirst) }
        for _ in 0..<2 { bench.read(StorePage([], revision: 8, isLast: true)) }
        let wrong = EndedRecord(at: bench.now.wall, why: .revoked)
        bench.node.grantEnded(grant, wrong, at: bench.now)
        bench.advance(.milliseconds(200))
        #expect(bench.written().contains(.put(key, .ended(wrong), .records)))
        bench.set(right)
        bench.advance(.milliseconds(100))
        // The daemon may not know yet.
        bench.node.resynced(
            live: [:], used: [], ended: [grant: wrong], quarantined: [:], at: bench.now, into: &bench.actions)
        for _ in 0..<5 { bench.advance(.milliseconds(100)) }
        let told = bench.written().compactMap { operation -> Timestamp? in
            guard case .put(key, .ended(let record), _) = operation else { return nil }
            return record.revoked
        }
        #expect(!told.isEmpty && told.allSatisfy { $0 >= right && $0 <= bench.now.wall })
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

    @Test(
        "is a quarantine that is told anew for as long as it was offered; once it is over, a resync doesn't begin it again"
    )
    func quarantineOnce() {
        var bench = FleetBench.inStep()
        let client = ip("203.0.113.1")
        bench.watched(.put(.quarantine(node: "b", client), .quarantine(bench.quarantine(for: .seconds(7200)))))
        let until = bench.now.wall + .seconds(600)
        #expect(bench.quarantineOffers().map(\.until) == [until])
        bench.watched(.delete(.quarantine(node: "b", client)))
        for (passed, expected) in [(Duration.seconds(100), [until]), (.seconds(501), [])] {
            bench.advance(passed)
            bench.node.resynced(
                live: [:], used: [], ended: [:], quarantined: [:], at: bench.now, into: &bench.actions)
            #expect(bench.quarantineOffers().map(\.until) == expected)
        }
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

    @Test("is as many quarantines of one node again, when those that it had are over")
    func quarantinesOver() {
        var bench = FleetBench.inStep()
        for round in 0..<3 {
            for number in 0..<FleetLimits.quarantinesOfNodeMax {
                let client = IPAddress.v4(0xcb00_0000 + UInt32(round * 1000 + number))
                bench.watched(.put(.quarantine(node: "b", client), .quarantine(bench.quarantine(for: .seconds(60)))))
            }
            #expect(bench.quarantineOffers().count == FleetLimits.quarantinesOfNodeMax)
            for _ in 0..<20 { bench.advance(.seconds(6)) }
        }
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
        bench.node.compacted(at: bench.now)
        bench.advance(FleetLimits.backOffFirst)
        #expect(bench.taken() == [.read(.pair, after: nil, revision: nil, max: 2000)])
    }

    @Test("has a bound for what was released here: the earlier ones stay released")
    func manyReleased() {
        var bench = FleetBench.inStep { $0.quarantinesMax = 2 }
        let clients = (1...3).map { ip("203.0.113.\($0)") }
        for client in clients { bench.node.clientReleased(client, at: bench.now) }
        bench.watched(.put(.quarantine(node: "b", clients[0]), .quarantine(bench.quarantine())))
        #expect(bench.quarantineOffers() == [])
        bench.watched(.put(.quarantine(node: "b", clients[2]), .quarantine(bench.quarantine())))
        #expect(bench.quarantineOffers().map(\.client) == [clients[2]])
    }
}
