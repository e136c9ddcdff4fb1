import Addresses

/// Maps each number to the class of the interval that holds it; a look-up is a binary search.
struct IntervalMap<Bits: AddressBits>: Sendable {
    /// The start of each interval; it ends before the next one. The first starts at 0.
    private(set) var starts: [Bits] = [.min]
    private(set) var classes: [Int] = [0]

    func callAsFunction(_ bits: Bits) -> Int {
        var low = 0
        var high = starts.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if starts[middle] <= bits { low = middle } else { high = middle }
        }
        return classes[low]
    }

    /// Assigns all numbers from `start` on to `newClass`. Starts arrive in ascending order.
    mutating func append(start: Bits, class newClass: Int) {
        if starts[starts.count - 1] == start {
            classes[classes.count - 1] = newClass
        } else if classes[classes.count - 1] != newClass {
            starts.append(start)
            classes.append(newClass)
        }
    }

    /// The intervals of the classes that `isIncluded` names, adjacent ones merged.
    func ranges(where isIncluded: (Int) -> Bool) -> [ClosedRange<Bits>] {
        var result: [ClosedRange<Bits>] = []
        for index in starts.indices where isIncluded(classes[index]) {
            let last = index + 1 < starts.count ? starts[index + 1].predecessor : Bits.max
            if let previous = result.last, previous.upperBound.successor == starts[index] {
                result[result.count - 1] = previous.lowerBound...last
            } else {
                result.append(starts[index]...last)
            }
        }
        return result
    }
}

/// A position at which a rule begins or ceases to name addresses.
struct Boundary<Bits: AddressBits> {
    var position: Bits
    var rule: Int
    var isException: Bool
    var delta: Int

    /// Adds the boundaries of one range to `boundaries`; behind the family's last address there is none.
    static func add(
        _ first: Bits, _ last: Bits, rule: Int, isException: Bool, to boundaries: inout [Boundary]
    ) {
        boundaries.append(Boundary(position: first, rule: rule, isException: isException, delta: 1))
        guard last != Bits.max else { return }
        boundaries.append(Boundary(position: last.successor, rule: rule, isException: isException, delta: -1))
    }
}

extension IntervalMap {
    /// Sweeps over the boundaries; `classOf` numbers each distinct list of rules, ascending.
    init(_ boundaries: [Boundary<Bits>], classOf: ([Int]) -> Int) {
        let ruleCount = 1 + (boundaries.lazy.map(\.rule).max() ?? -1)
        var named = [Int](repeating: 0, count: ruleCount)
        var excepted = named
        /// The active rules, ascending.
        var active: [Int] = []
        let sorted = boundaries.sorted { $0.position < $1.position }
        var index = 0
        while index < sorted.count {
            let position = sorted[index].position
            while index < sorted.count, sorted[index].position == position {
                let boundary = sorted[index]
                let rule = boundary.rule
                if boundary.isException { excepted[rule] += boundary.delta } else { named[rule] += boundary.delta }
                active.include(rule, named[rule] > 0 && excepted[rule] == 0)
                index += 1
            }
            append(start: position, class: classOf(active))
        }
    }
}

extension [Int] {
    /// Puts the number in its place, or takes it out.
    fileprivate mutating func include(_ number: Int, _ isIncluded: Bool) {
        let place = firstIndex { $0 >= number } ?? count
        let isThere = place < count && self[place] == number
        if isIncluded, !isThere { insert(number, at: place) } else if isThere, !isIncluded { remove(at: place) }
    }
}
