import Addresses

/// Ranges of program numbers, such as the transient ones 0x40000000–0x5fffffff (RFC 5531, 8.1).
public struct ProgramRanges: Hashable, Sendable {
    /// Disjoint, ascending, with a gap between.
    public let all: [ClosedRange<Program>]

    public static let none = ProgramRanges([])

    public init(_ ranges: [ClosedRange<Program>]) {
        var all: [ClosedRange<Program>] = []
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            guard let last = all.last, last.reaches(range) else {
                all.append(range)
                continue
            }
            all[all.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
        }
        self.all = all
    }

    public var isEmpty: Bool { all.isEmpty }

    public func contains(_ program: Program) -> Bool { all.contains { $0.contains(program) } }
}

extension ClosedRange<Program> {
    /// Whether `later`, which starts no earlier, overlaps this range or follows it without a gap.
    fileprivate func reaches(_ later: Self) -> Bool {
        later.lowerBound <= upperBound || later.lowerBound.rawValue == upperBound.rawValue + 1
    }
}
