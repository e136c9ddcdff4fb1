import CNetfilter
import Firewall
import Glibc
import Portmapper

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

    /// Revokes again, until it is gone, what the transaction revoked last.
    func revokeForGood(_ transaction: Transaction) -> CommitFailure? {
        var keys = Array(transaction.revoked)
        for _ in 0..<Self.revocationRoundsMax {
            do throws(NetfilterError) {
                keys = Array(try lifetimes(of: keys, in: transaction.table).keys)
            } catch {
                return Self.failure(error)
            }
            if keys.isEmpty { return nil }
            var rest = keys[...]
            while !rest.isEmpty {
                let again = rest.prefix(Self.revocationsAtOnceMax).map { Operation.revoke($0) }
                let repeated = Transaction(table: transaction.table, operations: again)
                if let failure = commitOnce(repeated) { return failure }
                rest = rest.dropFirst(Self.revocationsAtOnceMax)
            }
        }
        return CommitFailure(
            errno: EBUSY, message: "packets bring back \(keys.count) revoked grants, of \(keys[0]) for one")
    }

    /// `nil` if the table is gone, and with it every grant.
    private static func failure(_ error: NetfilterError) -> CommitFailure? {
        switch error {
        case .failed(_, ENOENT, _): nil
        case .failed(_, let number, _): CommitFailure(errno: number, message: "\(error)")
        case .foreign, .unsettled: CommitFailure(errno: EPROTO, message: "\(error)")
        }
    }
}

extension Transaction {
    /// The grants that shall not be there when it is done.
    fileprivate var revoked: Set<GrantKey> {
        var keys: Set<GrantKey> = []
        for operation in operations {
            switch operation {
            case .revoke(let key): keys.insert(key)
            case .issue(let key, _, _, _), .issueNew(let key, _, _): keys.remove(key)
            case .makeTable, .deleteTable, .guardPort, .unguardPort, .remember, .forget, .stand, .unstand, .quarantine,
                .release:
                break
            }
        }
        return keys
    }
}
