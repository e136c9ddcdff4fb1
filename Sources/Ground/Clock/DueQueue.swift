/// Items ordered by the instant at which they are due: a binary heap.
///
/// An item that was inserted again, or removed, leaves its old entry until that is due: the caller checks whether
/// a popped entry is still valid. When too many entries are stale, the heap is rebuilt from the living items.
public struct DueQueue<Item: Sendable>: Sendable {
    private var heap: [(at: Instant, item: Item)] = []
    /// Entries beyond twice the living items at which the heap is rebuilt.
    public let staleEntriesMax: Int

    public init(staleEntriesMax: Int = 1024) { self.staleEntriesMax = staleEntriesMax }

    public var count: Int { heap.count }

    /// - Parameters:
    ///   - livingCount: the number of living items, the new one included.
    ///   - living: each living item once, with its instant.
    public mutating func insert<Living: Sequence>(
        _ item: Item, at instant: Instant, among livingCount: Int, _ living: @autoclosure () -> Living
    ) where Living.Element == (Item, Instant) {
        guard heap.count < 2 * livingCount + staleEntriesMax else {
            heap = living().map { (at: $0.1, item: $0.0) }
            for parent in (0..<heap.count / 2).reversed() { sink(parent) }
            return
        }
        heap.append((instant, item))
        var child = heap.count - 1
        while child > 0, heap[child].at < heap[(child - 1) / 2].at {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    /// Removes and returns the item that is due first, unless it is due later than `now`.
    public mutating func popFirst(until now: Instant) -> (item: Item, at: Instant)? {
        guard let first = heap.first, first.at <= now else { return nil }
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        sink(0)
        return (first.item, first.at)
    }

    private mutating func sink(_ place: Int) {
        var parent = place
        while true {
            var child = 2 * parent + 1
            guard child < heap.count else { return }
            if child + 1 < heap.count, heap[child + 1].at < heap[child].at { child += 1 }
            guard heap[child].at < heap[parent].at else { return }
            heap.swapAt(parent, child)
            parent = child
        }
    }
}
