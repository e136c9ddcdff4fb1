/// Hashes the keys of tables that each call looks into several times: some 3 ns, where Swift's `Hasher` (SipHash) takes
/// 30.
///
/// Words are folded in by multiplication with secrets of this process, to 128 bits whose halves are combined (as in wyhash
/// and aHash), so that nobody who doesn't know the secrets can choose keys that fall into one place.
public struct TableHash {
    @usableFromInline static let secrets = (
        start: UInt64.random(in: .min ... .max), multiplier: UInt64.random(in: .min ... .max) | 1
    )

    @usableFromInline let multiplier: UInt64
    @usableFromInline var state: UInt64

    @inlinable
    init(seed: Int) {
        let (start, multiplier) = Self.secrets
        self.multiplier = multiplier
        state = start ^ UInt64(bitPattern: Int64(seed))
    }

    @inlinable
    public mutating func combine(_ word: some FixedWidthInteger) {
        let (high, low) = (state ^ UInt64(truncatingIfNeeded: word)).multipliedFullWidth(by: multiplier)
        state = high ^ low
    }

    /// Feeds which case it is.
    @inlinable
    public mutating func combine(caseOf value: some CaseIterable & BitwiseCopyable) {
        combine(withUnsafeBytes(of: value) { $0.reduce(0) { $0 << 8 | UInt64($1) } })
    }

    @inlinable
    var value: Int {
        let (high, low) = state.multipliedFullWidth(by: multiplier)
        return Int(truncatingIfNeeded: high ^ low)
    }
}

/// A key of `Dictionary` and `Set` that is hashed by ``TableHash``; in all other respects as any `Hashable`.
public protocol TableKey: Hashable {
    /// Feeds what `==` compares, or a part of it.
    func combine(into hash: inout TableHash)
}

extension TableKey {
    @inlinable
    func tableHash(seed: Int) -> Int {
        var hash = TableHash(seed: seed)
        combine(into: &hash)
        return hash.value
    }

    /// What the standard library's tables call.
    @inlinable
    public func _rawHashValue(seed: Int) -> Int { tableHash(seed: seed) }
}

extension TableKey where Self: RawRepresentable, RawValue: Hashable {
    /// In place of that of `RawRepresentable`, which hashes the raw value.
    @inlinable
    public func _rawHashValue(seed: Int) -> Int { tableHash(seed: seed) }
}
