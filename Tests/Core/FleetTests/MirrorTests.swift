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
