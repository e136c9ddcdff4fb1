import Addresses
import Clock
import CoreSamples
import Firewall
import TestSupport
import Testing

@testable import Gate

@Suite("memory of grants") struct GrantMemoryTests {
    @Test("grants that end and are issued again without end leave no entries behind")
    func memory() {
        var memory = GrantMemory()
        let note = GrantNote(program: .mountd, issued: Timestamp(milliseconds: 0), rule: "r")
        let keys = (1...100).map { GrantKey(client: .v4(UInt32($0)), service: .tcp(1)) }
        for cycle in Int64(0)..<1000 {
            for key in keys {
                let entry = GrantMemory.Entry(note: note, programs: Programs(.mountd), until: at(cycle + 1_000_000))
                _ = memory.remember(key, entry, limit: 1000)
            }
            #expect(keys.count { memory.forget($0) } == keys.count)
        }
        #expect(memory.dueCount < 2000)
    }

    @Test("a grant that is remembered anew stays until its later time is up")
    func renewed() {
        var memory = GrantMemory()
        let note = GrantNote(program: .mountd, issued: Timestamp(milliseconds: 0), rule: "r")
        let key = GrantKey("10.1.2.3", .tcp(1))
        for end in [Int64(10), 20] {
            let entry = GrantMemory.Entry(note: note, programs: Programs(.mountd), until: at(end))
            _ = memory.remember(key, entry, limit: 1000)
        }
        memory.timeAdvanced(to: at(19))
        #expect(memory[key]?.until == at(20))
        memory.timeAdvanced(to: at(20))
        #expect(memory.count == 0)
    }
}
