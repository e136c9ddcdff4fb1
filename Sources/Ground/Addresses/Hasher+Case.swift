extension Hasher {
    /// Feeds which case it is. By default the texts of cases with raw values are hashed, at ten times the cost, and each
    /// call is counted by several of them.
    @inlinable
    public mutating func combine(caseOf value: some CaseIterable & BitwiseCopyable) {
        withUnsafeBytes(of: value) { combine(bytes: $0) }
    }
}
