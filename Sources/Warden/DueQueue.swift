/// Items by the instant at which they are due: a binary heap.
struct DueQueue<Item: Sendable>: Sendable {
    private var heap: [(at: Instant, item: Item)] = []

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
        while let child = [2 * parent + 1, 2 * parent + 2].filter({ $0 < heap.count }).min(by: {
            heap[$0].at < heap[$1].at
        }),
            heap[child].at < heap[parent].at
        {
            heap.swapAt(parent, child)
            parent = child
        }
        return (first.item, first.at)
    }
}
