/// How often each case of an enumeration was seen; it counts without hashing, because each call counts.
///
/// For enumerations of two cases or more without payloads and with a synthesized `allCases`: the compiler numbers
/// the cases in one byte, from 0.
public struct CaseCounts<Case: CaseIterable & BitwiseCopyable>: Hashable, Sendable {
    private var counts = [Int](repeating: 0, count: Case.allCases.count)

    public init() { precondition(MemoryLayout<Case>.size == 1, "\(Case.self) isn't numbered in one byte") }

    public subscript(element: Case) -> Int {
        get { counts[Self.place(of: element)] }
        set { counts[Self.place(of: element)] = newValue }
    }

    private static func place(of element: Case) -> Int { Int(unsafeBitCast(element, to: UInt8.self)) }
}
