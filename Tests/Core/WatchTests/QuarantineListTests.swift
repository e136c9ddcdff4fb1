import Addresses
import Clock
import TestSupport
import Testing

@testable import Watch

@Suite("list of quarantines") struct QuarantineListTests {
    @Test("quarantines that are lifted and come again without end leave no entries behind")
    func quarantines() {
        var list = QuarantineList()
        for cycle in Int64(0)..<100_000 {
            #expect(list.add(.v4(UInt32(cycle % 10)), until: at(cycle + 1_000_000), from: at(cycle)) == true)
            #expect(list.remove(.v4(UInt32(cycle % 10))) == true)
        }
        #expect(list.dueCount < 2000)
    }

    @Test("a quarantine that is prolonged began when it began, as far as an earlier order is concerned")
    func prolonged() {
        var list = QuarantineList()
        let client = IPAddress.v4(1)
        for (end, begin) in [(Int64(100), Int64(10)), (200, 20)] {
            #expect(list.add(client, until: at(end), from: at(begin)) == true)
        }
        #expect(list.holds(client, at: at(15)) && !list.holds(client, at: at(9)))
        #expect(list[client] == at(200))
    }
}
