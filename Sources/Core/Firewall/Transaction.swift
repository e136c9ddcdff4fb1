import Addresses

/// One change of the table. Each is idempotent: the element may already be there, or may have expired.
public enum Operation: Hashable, Sendable {
    /// Makes the table anew, empty, in place of an existing one; chains that aren't ours stay in a table of sets.
    case makeTable(TableShape)
    /// Makes the table anew in place of one that no process owns, but the grants that were found in it stay.
    ///
    /// Fails unless the last reading permitted it (``TableContents/grantsMayBeKept``), or if anything but packets
    /// changed the table since.
    case adoptTable(TableShape)
    case deleteTable(name: String)
    case guardPort(ServicePort)
    case unguardPort(ServicePort)
    /// Adds the element, or makes it live for `timeout` from now; `expiresIn` shortens the first life (adoption).
    case issue(GrantKey, timeout: Duration, expiresIn: Duration?, comment: String)
    /// Like ``issue(_:timeout:expiresIn:comment:)``, at half the price, for a grant that isn't there as far as
    /// the caller knows. An existing grant is issued all the same, but the kernel takes milliseconds for it.
    case issueNew(GrantKey, timeout: Duration, comment: String)
    case revoke(GrantKey)
    /// Has the client's dropped packets logged as ``DroppedPacket/Kind/remembered``, for `timeout` from now.
    case remember(GrantKey, timeout: Duration, comment: String)
    case forget(GrantKey)
    case addStanding(StandingKey)
    case removeStanding(StandingKey)
    /// Removes all standing elements, except the ones that the same transaction adds after it: these are never
    /// missing.
    case replaceStanding
    case addCallers(CallersKey)
    case removeCallers(CallersKey)
    case quarantine(IPAddress, timeout: Duration)
    case release(IPAddress)
    /// Has the kernel drop packets to port 111 over the transport from clients without an ``addStanding(_:)``
    /// there.
    ///
    /// The kernel drops them before it looks at their flows, until ``unshield``; after that too, until the
    /// timeout, but at more cost.
    case shield(Transport, timeout: Duration)
    case unshield
}

extension Operation {
    /// The grant that the operation issues.
    public var issued: GrantKey? {
        switch self {
        case .issue(let key, _, _, _), .issueNew(let key, _, _): key
        case .makeTable, .adoptTable, .deleteTable, .guardPort, .unguardPort, .revoke, .remember, .forget, .addStanding,
            .removeStanding, .replaceStanding, .addCallers, .removeCallers, .quarantine, .release, .shield, .unshield:
            nil
        }
    }

    /// The table that the operation makes.
    public var madeTable: TableShape? {
        switch self {
        case .makeTable(let shape), .adoptTable(let shape): shape
        case .deleteTable, .guardPort, .unguardPort, .issue, .issueNew, .revoke, .remember, .forget, .addStanding,
            .removeStanding, .replaceStanding, .addCallers, .removeCallers, .quarantine, .release, .shield, .unshield:
            nil
        }
    }

    /// The table itself is made, adopted or deleted.
    public var isOfTable: Bool { if case .deleteTable = self { true } else { madeTable != nil } }

    /// Whether the operation deletes an element.
    public var isRemoval: Bool {
        switch self {
        case .unguardPort, .revoke, .forget, .removeStanding, .removeCallers, .release: true
        case .makeTable, .adoptTable, .deleteTable, .guardPort, .issue, .issueNew, .remember, .addStanding,
            .replaceStanding, .addCallers, .quarantine, .shield, .unshield:
            false
        }
    }

    /// Whether the operation changes standing ranges.
    public var isOfRanges: Bool {
        switch self {
        case .addStanding, .removeStanding, .replaceStanding: true
        case .makeTable, .adoptTable, .deleteTable, .guardPort, .unguardPort, .issue, .issueNew, .revoke, .remember,
            .forget, .addCallers, .removeCallers, .quarantine, .release, .shield, .unshield:
            false
        }
    }
}

/// The contents of one netlink batch, which is done as a whole or not at all.
public struct Transaction: Hashable, Sendable {
    /// The table that the operations change.
    public var table: String
    public var operations: [Operation]

    public init(table: String, operations: [Operation] = []) {
        self.table = table
        self.operations = operations
    }

    public var isEmpty: Bool { operations.isEmpty }

    /// All standing ranges are replaced; where the rules are rpcwarden's, several batches do it.
    public var exchangesStanding: Bool { operations.contains(.replaceStanding) }
}
