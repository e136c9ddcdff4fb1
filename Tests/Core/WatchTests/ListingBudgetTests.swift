import CoreSamples
import Firewall
import ONCRPC
import Policy
import TestSupport
import Testing

@testable import Watch

@Suite("listing budget") struct ListingBudgetTests {
    @Test("a client gets a burst of bytes, then so many a second, and no other client less")
    func perClient() {
        var budget = ListingBudget()
        func served(_ client: String, _ milliseconds: Int64) -> Int {
            (0..<1000).count { _ in budget.admits(1024, to: ip(client), at: at(milliseconds)) }
        }
        #expect(served("10.1.2.3", 0) == 64)
        #expect(served("10.1.2.4", 0) == 64)
        #expect(served("10.1.2.3", 1000) == 16)
        #expect(served("2001:db8::1", 1000) == 64)
        #expect(served("2001:db8::2", 1000) == 64, "a neighbour is another client")
    }

    @Test("however many clients are claimed, all together get so many bytes a second")
    func inAll() {
        var budget = ListingBudget()
        func served(_ milliseconds: Int64) -> Int {
            (0..<UInt32(10_000)).count { budget.admits(1024, to: .v4($0), at: at(milliseconds)) }
        }
        #expect(served(0) == 1024)
        #expect((1023...1025).contains(served(1000)))
    }
}
