import FleetRecords
import TestSupport
import Testing

@testable import Fleet

@Suite("the queue of what is to be published") struct QueueTests {
    private func key(_ number: Int) -> OwnKey { .quarantine(.v4(UInt32(number))) }

    @Test("drops refreshes first, the oldest first, and counts what it drops")
    func overrun() {
        var queue = PublishQueue(max: 4)
        queue.insert(key(0), .refresh, at: at(0))
        queue.insert(key(1), .change, at: at(0))
        queue.insert(key(2), .refresh, at: at(0))
        queue.insert(key(3), .change, at: at(0))
        queue.insert(key(4), .change, at: at(0))
        queue.insert(key(5), .refresh, at: at(0))
        queue.insert(key(2), .change, at: at(0))
        queue.insert(key(6), .change, at: at(0))
        #expect(queue.refreshesDropped == 2)
        #expect(queue.changesDropped == 1)
        #expect(queue.hasOverrun)
        #expect(queue.take() == [key(1), key(3), key(4), key(2)])
        #expect(queue.count == 0)
    }

    @Test("is due after 100 ms, or with 128 keys")
    func due() {
        var queue = PublishQueue()
        #expect(!queue.isDue(at: at(1000)))
        queue.insert(key(0), .change, at: at(0))
        #expect(!queue.isDue(at: at(99)))
        #expect(queue.isDue(at: at(100)))
        for number in 1..<127 { queue.insert(key(number), .refresh, at: at(0)) }
        #expect(!queue.isDue(at: at(99)))
        queue.insert(key(127), .change, at: at(0))
        #expect(queue.isDue(at: at(0)))
    }

    @Test("holds a key once, however often it changes while the store is away")
    func once() {
        var queue = PublishQueue()
        for _ in 0..<1000 { queue.insert(key(0), .change, at: at(0)) }
        #expect((queue.count, queue.changeCount) == (1, 1))
        #expect(queue.take() == [key(0)])
    }
}
