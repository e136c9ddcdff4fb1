import Clock
import TestSupport
import Testing

@Suite("instant") struct InstantTests {
    private static let first = Instant(nanoseconds: .min)
    private static let last = Instant(nanoseconds: .max)

    @Test("stays at the first or the last one, rather than overflow")
    func saturates() {
        #expect(at(0) + .seconds(Int64.max) == Self.last)
        #expect(Self.last + .nanoseconds(1) == Self.last)
        #expect(at(0) + .nanoseconds(1) - .nanoseconds(1) == at(0))
        #expect(Self.first - .nanoseconds(1) == Self.first)
        #expect(Self.last - .seconds(-1) == Self.last)
        #expect(Self.first + .seconds(-1) == Self.first)
        #expect(at(0) - Self.first == .nanoseconds(Int64.max))
        #expect(Self.first - at(0) == .nanoseconds(Int64.min))
        #expect(at(3) - at(1) == .milliseconds(2))
    }
}
