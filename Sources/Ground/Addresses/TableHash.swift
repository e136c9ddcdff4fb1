/// Hashes the keys of tables that each call looks up several times: some 3 ns, where Swift's `Hasher` (SipHash)
/// takes 30.
///
/// Words are folded in by multiplication with secrets of this process, to 128 bits, and both halves are combined
/// (as in wyhash and aHash); so without knowing the secrets, an attacker can't choose keys that collide.
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

    /// Hashes the case's byte.
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

/// A key of `Dictionary` and `Set` that is hashed by ``TableHash``; otherwise an ordinary `Hashable`.
public protocol TableKey: Hashable {
    /// Hashes the values that `==` compares, or a part of them.
    func combine(into hash: inout TableHash)
}

extension TableKey {
    @inlinable
    func tableHash(seed: Int) -> Int {
        var hash = TableHash(seed: seed)
        combine(into: &hash)
        return hash.value
    }

    /// Called by the standard library's tables.
    @inlinable
    public func _rawHashValue(seed: Int) -> Int { tableHash(seed: seed) }
}

extension TableKey where Self: RawRepresentable, RawValue: Hashable {
    /// Replaces the implementation of `RawRepresentable`, which hashes the raw value.
    @inlinable
    public func _rawHashValue(seed: Int) -> Int { tableHash(seed: seed) }
}
