extension Hasher {
    /// Hashes the case's byte. By default Swift hashes the text of cases with raw values, at ten times the cost,
    /// and each call is counted by several of them.
    @inlinable
    public mutating func combine(caseOf value: some CaseIterable & BitwiseCopyable) {
        withUnsafeBytes(of: value) { combine(bytes: $0) }
    }
}
