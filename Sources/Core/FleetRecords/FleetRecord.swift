import Clock

/// A grant in the subtree of a node: issued there on a look-up, or a copy that was used there.
public struct GrantRecord: Hashable, Sendable {
    public var issued: Timestamp
    public var used: Timestamp
    /// The rule that permits it at its node; for people.
    public var rule: String
    /// How long the grant lives without use.
    public var keep: Duration
    /// The node that issued it, if this is a copy; ``issued`` is by that node's clock.
    public var origin: String?

    public init(issued: Timestamp, used: Timestamp, rule: String, keep: Duration, origin: String? = nil) {
        self.issued = issued
        self.used = used
        self.rule = Self.cut(rule)
        self.keep = min(keep, Self.keepMax)
        self.origin = origin
    }

    public var ends: Timestamp { used + keep }

    public static let keepMax = Duration.seconds(30 * 86_400)

    /// Of each text in a record.
    static let textBytesMax = 128
    /// Up to the year 9999: sums with durations can't overflow.
    public static let times: ClosedRange<Int64> = 0...253_402_300_799_999

    static func cut(_ text: String, to bytesMax: Int = textBytesMax) -> String {
        var cut = text[...]
        while cut.utf8.count > bytesMax { cut.removeLast() }
        return String(cut)
    }
}

/// Revocation is a record of its own: it beats the grants that were issued before it.
public struct EndedRecord: Hashable, Sendable {
    public enum Reason: String, Hashable, Sendable, CaseIterable {
        case revoked
        case policy
    }

    /// Beats the grants that this node issued before.
    public var at: Timestamp
    public var why: Reason
    /// Beats the grants that any node issued before; an end by this node's policy leaves those of others.
    public var revoked: Timestamp?

    public init(at: Timestamp, why: Reason, revoked: Timestamp? = nil) {
        self.at = at
        self.why = why
        self.revoked = why == .revoked ? at : revoked.map { min($0, at) }
    }

    /// A revocation counts for as long as any grant may live without use: a node may be away, and its client may use what
    /// was revoked.
    public static let revocationHolds = GrantRecord.keepMax

    /// How long it counts, if others count for `time`.
    public func holds(_ time: Duration) -> Duration { revoked == nil ? time : max(time, Self.revocationHolds) }

    /// One key holds what both say: an end by policy doesn't take an earlier revocation back.
    public func merged(with other: EndedRecord) -> EndedRecord {
        let (early, late) = at < other.at ? (self, other) : (other, self)
        let revoked = late.revoked.map { max($0, early.revoked ?? $0) } ?? early.revoked
        return EndedRecord(at: late.at, why: late.why, revoked: revoked)
    }
}

/// A client that a node has quarantined.
public struct QuarantineRecord: Hashable, Sendable {
    public enum Evidence: String, Hashable, Sendable {
        case tcp
        /// Forged as easily as not: never taken over.
        case udp
    }

    public var from: Timestamp
    public var until: Timestamp
    public var evidence: Evidence
    public var denials: UInt32

    public init(from: Timestamp, until: Timestamp, evidence: Evidence, denials: UInt32) {
        self.from = from
        self.until = until
        self.evidence = evidence
        self.denials = denials
    }
}

/// What a node tells people about itself; no decision depends on it.
public struct NodeStatus: Hashable, Sendable {
    public var version: String
    public var mode: String
    /// The serial of its policy; 0: none of the fleet's.
    public var serial: UInt64
    /// The firewall table is in place.
    public var isGuarding: Bool
    /// rpcbind answers, or the node is a gateway that needs none.
    public var isRpcbindUp: Bool
    public var grants: UInt32
    public var denialsPerHour: UInt32
    public var since: Timestamp

    public init(
        version: String, mode: String, serial: UInt64, isGuarding: Bool = true, isRpcbindUp: Bool = true,
        grants: UInt32, denialsPerHour: UInt32, since: Timestamp
    ) {
        self.version = GrantRecord.cut(version)
        self.mode = GrantRecord.cut(mode)
        self.serial = serial
        self.isGuarding = isGuarding
        self.isRpcbindUp = isRpcbindUp
        self.grants = grants
        self.denialsPerHour = denialsPerHour
        self.since = since
    }
}

/// The value of a key that nodes write.
public enum FleetRecord: Hashable, Sendable {
    public enum Kind: Hashable, Sendable {
        case grant
        case ended
        case quarantine
        case status
    }

    case grant(GrantRecord)
    case ended(EndedRecord)
    case quarantine(QuarantineRecord)
    case status(NodeStatus)
}
