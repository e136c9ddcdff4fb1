import FleetRecords
import Testing

@testable import Fleet

@Suite("what a node knows of its keys in the store") struct MirrorTests {
    @Test("ends with a key that is deleted")
    func deleted() {
        var bench = FleetBench.inStep()
        for number in 0..<10 {
            let grant = FleetBench.grant(UInt32(number))
            bench.node.grantIssued(grant, bench.record(), at: bench.now)
            bench.node.grantUsed(grant, at: bench.now)
            bench.advance(.seconds(1))
            #expect(bench.written().count == 1)
            #expect(bench.node.mirror.attached == [.grant(grant)])
            bench.node.grantExpired(grant, at: bench.now)
            bench.advance(.seconds(1))
            #expect(bench.written().count == 1)
            #expect(bench.node.mirror.attached == [])
        }
    }

    @Test("is read again beside the watch: what was passed over is taken, what is missing is written later")
    func readAgain() {
        var bench = FleetBench.inStep()
        let (own, other) = (FleetBench.grant(1), FleetBench.grant(2))
        bench.node.grantIssued(own, bench.record(keep: .seconds(86_400)), at: bench.now)
        bench.node.grantUsed(own, at: bench.now)
        bench.advance(.seconds(1))
        #expect(bench.written().count == 1)
        let record = FleetRecord.grant(bench.record(keep: .seconds(86_400)))
        let page = [(FleetKey.grant(pair: "p", node: "b", other), record)]
        bench.node.readingAgain()
        bench.node.pageReadAgain(page, isLast: false, at: bench.now, into: &bench.actions)
        bench.node.pageReadAgain([], isLast: true, at: bench.now, into: &bench.actions)
        #expect(bench.node.isSynced && bench.node.counters.fullReads == 2)
        bench.advance(.seconds(1))
        let actions = bench.taken()
        #expect(actions.count == 1, "an offer, and nothing to write")
        if case .offerGrants(let offers)? = actions.first { #expect(offers.map(\.grant) == [other]) }
        bench.advance(FleetLimits.reconcileInterval * 2)
        bench.advance(.seconds(1))
        #expect(bench.written().map(\.key) == [.grant(pair: "p", node: "a", own)])
    }

    @Test("isn't touched by what is read again if the node isn't in step")
    func readAgainLate() {
        var bench = FleetBench.inStep()
        bench.node.readingAgain()
        bench.node.storeLost(at: bench.now)
        let page = [(FleetKey.grant(pair: "p", node: "b", FleetBench.grant(2)), FleetRecord.grant(bench.record()))]
        bench.node.pageReadAgain(page, isLast: true, at: bench.now, into: &bench.actions)
        bench.advance(.seconds(1))
        #expect(bench.offers() == [])
    }

    @Test("is bounded, whoever else writes there, or whatever a store says")
    func bounded() {
        let status = FleetRecord.status(
            NodeStatus(version: "", mode: "", serial: 0, grants: 0, denialsPerHour: 0, since: FleetBench.start))
        for isRead in [true, false] {
            var mirror = StoreMirror(max: 10)
            for number in 0..<20 as Range<UInt32> {
                if isRead {
                    mirror.read(.quarantine(.v4(number)), status)
                } else {
                    mirror.put(.quarantine(.v4(number)), status)
                }
            }
            if isRead { mirror.endRead() }
            #expect(mirror.disagreements(with: OwnRecords()).count == 10)
        }
    }
}
