/// A count for each case of an enumeration without payload, found by the case's byte: each call counts some, and a
/// dictionary would hash.
public struct Counts<Case: CaseIterable & BitwiseCopyable & Sendable>: Hashable, Sendable {
    private var counts: [Int]

    /// All are 0.
    public init() {
        precondition(MemoryLayout<Case>.size == 1)
        counts = Array(repeating: 0, count: Case.allCases.count)
    }

    public subscript(value: Case) -> Int {
        get { counts[Self.place(of: value)] }
        set { counts[Self.place(of: value)] = newValue }
    }

    private static func place(of value: Case) -> Int { withUnsafeBytes(of: value) { Int($0[0]) } }
}
