import CoreSamples
import Firewall
import ONCRPC
import Policy
import Testing

@testable import Gate

@Suite("programs") struct ProgramsTests {
    @Test("are ascending, each once")
    func union() {
        var programs = Programs(.mountd)
        for more in [Programs(.mountd), Programs(.status), Programs(.nfs), Programs(.status)] {
            programs.formUnion(more)
        }
        #expect(programs.all == [.nfs, .mountd, .status] && programs.least == .nfs)
        #expect(programs.contains(.nfs) && programs.contains(.status) && !programs.contains(.nlockmgr))
        #expect(programs.contains { $0 == .status } && !programs.contains { $0 == .nlockmgr })
        #expect(Programs(.nfs) != programs)
    }
}
