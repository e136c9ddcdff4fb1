import CNetfilter
import Firewall
import Glibc

/// A packet can bring back a grant while it is being revoked.
///
/// `@granted4 update @granted4 {…}` searches the set twice: the look-up sees the elements of the generation in
/// force, the update only elements in both generations. While a transaction deletes an element, it is still in the
/// generation in force, but not in both: so the update adds another element with the same key, unknown to the
/// transaction. The kernel has no "update, never add", so remaining elements are looked for after the transaction
/// and revoked again. (Kernel 6.18, nft_rhash_update; seen after a fifth of all single revokes while the client
/// sent as fast as it could, and after each one in a batch of 300.)
extension NetfilterTable {
    /// Small batches, so that packets rarely arrive during a transaction.
    private static let revocationsAtOnceMax = 8
    /// Rounds before revoking is given up, which is reported.
    private static let revocationRoundsMax = 32

    /// Checks once more that every revoked grant is gone, and revokes the remaining ones.
    ///
    /// A packet may have found the grant before the transaction and bring it back after `commit` checked: this
    /// takes the kernel some µs, and more if its processor is preempted. So call this some time after each
    /// `commit`; 50 ms are plenty.
    ///
    /// - Returns: the last failure; the grants that it concerns are checked at the next call.
    public func settle() -> CommitFailure? {
        let due = unsettled
        unsettled = [:]
        var last: CommitFailure?
        for (table, keys) in due {
            guard let failure = revokeForGood(keys, in: table, isFirst: false) else { continue }
            unsettled[table, default: []].formUnion(keys)
            last = failure
        }
        return last
    }

    /// Revokes again the grants that a transaction revoked, until they are gone.
    ///
    /// - Parameter isFirst: whether to check all of them again later; otherwise only those that came back are
    ///   checked again.
    func revokeForGood(_ revoked: Set<GrantKey>, in table: String, isFirst: Bool = true) -> CommitFailure? {
        guard !revoked.isEmpty else { return nil }
        if isFirst { unsettled[table, default: []].formUnion(revoked) }
        var keys = Array(revoked)
        for _ in 0..<Self.revocationRoundsMax {
            do throws(NetfilterError) {
                keys = Array(try lifetimes(of: keys, in: table).keys)
            } catch {
                return Self.failure(error)
            }
            if keys.isEmpty { return nil }
            unsettled[table, default: []].formUnion(keys)
            if let failure = revokeAgain(keys, in: table) { return failure }
        }
        return CommitFailure(
            errno: EBUSY, message: "packets bring back \(keys.count) revoked grants, of \(keys[0]) for one")
    }

    private func revokeAgain(_ keys: [GrantKey], in table: String) -> CommitFailure? {
        var rest = keys[...]
        while !rest.isEmpty {
            let some = rest.prefix(Self.revocationsAtOnceMax).map { Operation.revoke($0) }
            if let failure = commitOnce(Transaction(table: table, operations: some)) { return failure }
            rest = rest.dropFirst(Self.revocationsAtOnceMax)
        }
        return nil
    }

    /// `nil` if the table is gone, and with it every grant.
    static func failure(_ error: NetfilterError) -> CommitFailure? {
        switch error {
        case .failed(_, ENOENT, _): nil
        case .failed(_, let number, _): CommitFailure(errno: number, message: "\(error)")
        case .foreign, .unsettled: CommitFailure(errno: EPROTO, message: "\(error)")
        }
    }
}

extension Transaction {
    /// The grants that the transaction revokes and doesn't issue again.
    var revoked: Set<GrantKey> {
        var keys: Set<GrantKey> = []
        for operation in operations {
            if case .revoke(let key) = operation { keys.insert(key) }
            if !keys.isEmpty, let key = operation.issued { keys.remove(key) }
        }
        return keys
    }
}
