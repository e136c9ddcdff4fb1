/// Disjoint ranges in ascending order.
public struct AddressRanges: Hashable, Sendable {
    private let ranges: [AddressRange]

    public init(_ ranges: [AddressRange]) {
        self.ranges = ranges
    }

    /// The addresses of `range` outside all of these ranges; `nil` if there are more than `limit`. A binary search.
    public func uncovered(_ range: AddressRange, limit: Int) -> [IPAddress]? {
        var uncovered: [IPAddress] = []
        var next: IPAddress? = range.first
        var index = firstIndex(endingAtOrAfter: range.first)
        while let first = next, first <= range.last {
            let covering = index < ranges.count && ranges[index].first <= range.last ? ranges[index] : nil
            if let covering, covering.first <= first {
                next = covering.last.successor
                index += 1
                continue
            }
            guard uncovered.count < limit else { return nil }
            uncovered.append(first)
            next = first.successor
        }
        return uncovered
    }

    public func contains(_ address: IPAddress) -> Bool { ranges.range(holding: address) != nil }

    private func firstIndex(endingAtOrAfter address: IPAddress) -> Int {
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].last < address { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
