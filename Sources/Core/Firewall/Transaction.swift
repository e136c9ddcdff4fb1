import Addresses

/// One change of the table. Each is idempotent: the element may be there already, or may have expired.
public enum Operation: Hashable, Sendable {
    /// Makes the table anew, empty, in place of one that may be there; chains that aren't ours stay in a table of sets.
    case makeTable(TableShape)
    /// The same, in place of one that nobody owns, but the grants that were found in it stay where they are.
    ///
    /// Fails unless the last reading said that they may (``TableContents/grantsMayBeKept``), or if but packets changed
    /// anything since.
    case adoptTable(TableShape)
    case deleteTable(name: String)
    case guardPort(ServicePort)
    case unguardPort(ServicePort)
    /// Adds the element, or makes it live for `timeout` from now; `expiresIn` shortens the first life (adoption).
    case issue(GrantKey, timeout: Duration, expiresIn: Duration?, comment: String)
    /// The same at half the price, for a grant that isn't there as far as one knows; if it is, it is issued all the
    /// same, but the kernel takes milliseconds for it.
    case issueNew(GrantKey, timeout: Duration, comment: String)
    case revoke(GrantKey)
    /// Has the client's dropped packets logged as ``DroppedPacket/Kind/remembered``, for `timeout` from now.
    case remember(GrantKey, timeout: Duration, comment: String)
    case forget(GrantKey)
    case addStanding(StandingKey)
    case removeStanding(StandingKey)
    /// Takes away all that stands, but for what the same transaction stands behind it: that is never missing.
    case replaceStanding
    case quarantine(IPAddress, timeout: Duration)
    case release(IPAddress)
    /// Has the kernel drop what comes to port 111 over the transport from clients without a ``addStanding(_:)`` there.
    ///
    /// It does so before it looks at their flows, until ``unshield``; after that too, until the timeout, but at more cost.
    case shield(Transport, timeout: Duration)
    case unshield
}

/// What one netlink batch does: all of it, or nothing.
public struct Transaction: Hashable, Sendable {
    /// The table that the operations change.
    public var table: String
    public var operations: [Operation]

    public init(table: String, operations: [Operation] = []) {
        self.table = table
        self.operations = operations
    }

    public var isEmpty: Bool { operations.isEmpty }
}
