import Bundles
import Clock
import Testing

@testable import Daemon

@Suite("orders that wait") struct OrderQueueTests {
    private static func order(_ id: String) -> OrderQueue.Order { .init(id: id, text: "text of \(id)") }
    private static func at(_ seconds: Int) -> Instant { .zero + .seconds(seconds) }

    /// What is taken then; it can't be verified yet.
    private static func taken(_ queue: inout OrderQueue, at seconds: Int) -> (id: String, isNew: Bool)? {
        guard let order = queue.next(at: at(seconds)) else { return nil }
        return (order.id, queue.postpone(order, at: at(seconds)))
    }

    @Test("are taken in their order; one that can't be verified yet is taken again after 30 s, and told once")
    func later() throws {
        var queue = OrderQueue()
        for id in ["a", "b", "a"] { _ = queue.add(Self.order(id)) }
        #expect(queue.waitingCount == 2, "the same order is handed over again")
        var taken = try #require(Self.taken(&queue, at: 0))
        #expect(taken == ("a", true))
        let second = queue.next(at: Self.at(1))
        #expect(second == Self.order("b"))
        _ = queue.add(Self.order("a"))
        var early = Self.taken(&queue, at: 29)
        #expect(early == nil)
        taken = try #require(Self.taken(&queue, at: 30))
        #expect(taken == ("a", false))
        early = Self.taken(&queue, at: 59)
        #expect(early == nil)
        taken = try #require(Self.taken(&queue, at: 60))
        #expect(taken == ("a", false) && !queue.isEmpty)
    }

    @Test("are given up after a day")
    func day() {
        var queue = OrderQueue()
        _ = queue.add(Self.order("a"))
        var count = 0
        for second in stride(from: 0, to: 200_000, by: 10) {
            if Self.taken(&queue, at: second) != nil { count += 1 }
        }
        #expect((2878...2882).contains(count))
    }

    @Test("have a limit, together with those that are tried again")
    func limit() {
        var queue = OrderQueue()
        for number in 0..<200 { _ = queue.add(Self.order("\(number)")) }
        for _ in 0..<100 { _ = Self.taken(&queue, at: 0) }
        var places = 200
        for number in 200..<2000 where queue.add(Self.order("\(number)")) { places += 1 }
        #expect(places == FleetOrder.countMax && queue.waitingCount == FleetOrder.countMax - 100)
        queue.removeAll()
        #expect(queue.isEmpty)
    }
}
