import Clock
import TestSupport
import Testing

@Suite("due queue") struct DueQueueTests {
    @Test("gives what is due in the order of time, and nothing before", arguments: 0..<20)
    func order(seed: Int) {
        var generator = SeededGenerator(state: UInt64(seed))
        var queue = DueQueue<Int64>()
        let times = (0..<200).map { _ in Int64.random(in: 0...99, using: &generator) }
        for (index, time) in times.enumerated() {
            queue.insert(time, at: at(time), among: index + 1, times[...index].map { ($0, at($0)) })
        }
        #expect(queue.popFirst(until: at(-1)) == nil)
        var taken: [Int64] = []
        for now in Int64(0)..<100 {
            while let (item, instant) = queue.popFirst(until: at(now)) {
                #expect(instant == at(item) && item <= now)
                taken.append(item)
            }
        }
        #expect(taken == times.sorted())
        #expect(queue.count == 0)
    }
}
