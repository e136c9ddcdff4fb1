/// Items by the instant at which they are due: a binary heap.
struct DueQueue<Item: Sendable>: Sendable {
    private var heap: [(at: Instant, item: Item)] = []

    var count: Int { heap.count }

    mutating func insert(_ item: Item, at instant: Instant) {
        heap.append((instant, item))
        var child = heap.count - 1
        while child > 0, heap[child].at < heap[(child - 1) / 2].at {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    /// Removes the item that is due first, unless that is later than `now`.
    mutating func popFirst(until now: Instant) -> (item: Item, at: Instant)? {
        guard let first = heap.first, first.at <= now else { return nil }
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var parent = 0
        while true {
            var child = 2 * parent + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1].at < heap[child].at { child += 1 }
            guard heap[child].at < heap[parent].at else { break }
            heap.swapAt(parent, child)
            parent = child
        }
        return (first.item, first.at)
    }
}
