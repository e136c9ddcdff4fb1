import CNetfilter
import Firewall
import Glibc

/// A packet can bring a grant back that is being revoked.
///
/// `@granted4 update @granted4 {…}` looks twice: the look-up sees the elements of the generation in force, the update only
/// those that are in both. While a transaction deletes an element, it is in force still, but not in both: the update
/// adds another with the same key, which the transaction knows nothing of. The kernel has no "update, never add", so
/// what is left is looked for after the transaction, and revoked again. (Kernel 6.18, nft_rhash_update; seen after a
/// fifth of all single revokes while the client sent as fast as it could, and after each one in a batch of 300.)
extension NetfilterTable {
    /// So few in a batch that a packet rarely comes between.
    private static let revocationsAtOnceMax = 8
    /// How often, before it is given up, which is told.
    private static let revocationRoundsMax = 32

    /// Looks once more whether everything that was revoked is gone, and revokes the rest.
    ///
    /// A packet may have found the grant before the transaction and bring it back when `commit` has looked already: it
    /// takes the kernel some µs, and more if its processor is taken away meanwhile. So call it some time after each
    /// `commit`; 50 ms are plenty.
    public func settle() -> CommitFailure? {
        let due = unsettled
        unsettled = [:]
        for (table, keys) in due {
            if let failure = revokeForGood(keys, in: table, isFirst: false) { return failure }
        }
        return nil
    }

    /// Revokes again, until they are gone, the grants that a transaction revoked.
    ///
    /// - Parameter isFirst: whether to look again later, which else is done for those alone that came back.
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
    /// The grants that it revokes, and that shall not be there when it is done.
    var revoked: Set<GrantKey> {
        var keys: Set<GrantKey> = []
        for operation in operations {
            if case .revoke(let key) = operation { keys.insert(key) }
            if !keys.isEmpty, let key = operation.issued { keys.remove(key) }
        }
        return keys
    }
}

extension Operation {
    var issued: GrantKey? {
        switch self {
        case .issue(let key, _, _, _), .issueNew(let key, _, _): key
        case .makeTable, .adoptTable, .deleteTable, .guardPort, .unguardPort, .revoke, .remember, .forget, .addStanding,
            .removeStanding, .replaceStanding, .quarantine, .release, .shield, .unshield:
            nil
        }
    }
}
