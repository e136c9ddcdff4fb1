import NIOCore
import ONCRPC
import Testing

@testable import PortmapServer

@Suite("local flood")
struct LocalFloodTests {
    @Test("is thinned out to what is let through, and no more when it is over")
    func thinning() {
        var flood = LocalFlood()
        flood.received(LocalFlood.perLookMax)
        #expect(!flood.looked() && flood.thinning == 0)
        let offered = 30 * LocalFlood.perLookMax
        var passed: [Int] = []
        for _ in 0..<20 {
            passed.append(offered >> flood.thinning)
            flood.received(offered >> flood.thinning)
            _ = flood.looked()
        }
        #expect(passed[2...].allSatisfy { $0 <= LocalFlood.perLookMax }, "\(passed)")
        #expect(passed[2...].allSatisfy { $0 >= LocalFlood.perLookMax / 4 }, "\(passed)")
        for _ in 0..<10 { _ = flood.looked() }
        #expect(flood.thinning == 0 && !flood.looked())
        for _ in 0..<100 {
            flood.received(1 << 40)
            _ = flood.looked()
        }
        #expect(flood.thinning == LocalFlood.thinningMax)
    }
}
