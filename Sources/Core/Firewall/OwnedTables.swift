/// Whether the kernel has tables that only their owner can change and that outlive the owner (`flags owner,persist`).
public enum OwnedTables: Hashable, Sendable {
    case supported
    case unsupported
    /// The trial failed for another reason, so it proves nothing.
    case unknown(CommitFailure)

    /// - Parameter failure: the kernel's answer to a new table with these flags; `nil`: the kernel took it.
    public init(trial failure: CommitFailure?) {
        guard let failure else {
            self = .supported
            return
        }
        let isRefused = failure.errno == Self.invalidArgument || failure.errno == Self.notSupported
        self = isRefused ? .unsupported : .unknown(failure)
    }

    // Linux's asm-generic/errno.h; this target imports no C library. nf_tables_newtable() refuses flags that it doesn't
    // know with the first before 5.12, and with the second since.
    private static let invalidArgument: Int32 = 22  // EINVAL
    private static let notSupported: Int32 = 95  // EOPNOTSUPP
}
