import Portmapper

/// Disjoint ranges, ascending.
struct AddressRanges: Hashable, Sendable {
    private let ranges: [AddressRange]

    init(_ ranges: [AddressRange]) {
        self.ranges = ranges
    }

    /// How many addresses of `range` lie in none of these, `limit` at the most; a binary search.
    func uncovered(_ range: AddressRange, limit: Int) -> Int {
        var covered: UInt128 = 0
        var index = firstIndex(endingAtOrAfter: range.first)
        while index < ranges.count, ranges[index].first <= range.last {
            let overlap = AddressRange(max(ranges[index].first, range.first), min(ranges[index].last, range.last))
            // All of IPv6 has one address more than 128 bits count.
            let (sum, isOver) = covered.addingReportingOverflow(overlap.steps)
            if isOver || sum >= range.steps { return 0 }
            covered = sum + 1
            index += 1
        }
        let uncoveredSteps = range.steps - covered
        return uncoveredSteps >= UInt128(limit) ? limit : Int(uncoveredSteps) + 1
    }

    private func firstIndex(endingAtOrAfter address: IPAddress) -> Int {
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].last < address { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension AddressRange {
    /// One less than the number of its addresses.
    fileprivate var steps: UInt128 {
        switch (first, last) {
        case (.v4(let first), .v4(let last)): UInt128(last - first)
        case (.v6(let first), .v6(let last)): last.value - first.value
        case (.v4, .v6), (.v6, .v4): preconditionFailure("a range runs in one family")
        }
    }
}
