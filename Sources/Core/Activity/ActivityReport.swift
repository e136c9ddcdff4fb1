/// The daemon's activity at one moment: totals since its start, and the few sources and grants that matter most.
///
/// Its size and its cost to the daemon are bounded, however many sources and grants there are.
public struct ActivityReport: Codable, Hashable, Sendable {
    /// One source of denied calls.
    public struct Source: Codable, Hashable, Sendable {
        public var client = ""
        public var count = 0
        public var secondsSinceLast = 0
        public var reasons: [String] = []
        /// Names, or numbers without one.
        public var programs: [String] = []
        public var isQuarantined = false

        public init() {}
    }

    /// One grant, as the kernel has it at this moment.
    public struct Grant: Codable, Hashable, Sendable {
        public var key = GrantLabel()
        public var packets: UInt64 = 0
        public var secondsLeft = 0
        public var program = ""
        public var rule = ""

        public init() {}
    }

    public var version = ""
    public var isEnforcing = true
    /// RFC 3339, UTC.
    public var time = ""
    /// Distinguishes one run of the daemon from the next.
    public var startedAt = ""
    /// Measured by a clock that never steps back.
    public var uptime: Duration = .zero

    /// `nil` until the first attempt has ended.
    public var isRpcbindUp: Bool?
    /// A gateway may have no rpcbind of its own.
    public var needsRpcbind = true
    public var registrations = 0
    public var isTableInPlace = false
    public var guarded = 0
    public var quarantined = 0
    public var shielded: [String] = []
    public var connections = 0
    public var connectionsMax = 0

    public var decisions: [String: Int] = [:]
    public var duplicates = 0
    public var denied: [String: Int] = [:]
    /// Packets by cause; `nil` if the kernel's counters can't be read.
    public var dropped: [String: UInt64]?
    public var upstream = LatencyReport()
    public var upstreamFailures = 0
    public var commits = LatencyReport()
    public var commitFailures = 0
    public var auditLost = 0

    /// The sources with the most denials at the moment, then the ones with the latest denials.
    public var sources: [Source] = []
    public var sourceCount = 0
    /// The grants that were asked for, and the next few of all.
    public var grants: [Grant] = []
    public var grantCount = 0
    public var grantsMax = 0
    /// The start of the next few grants.
    public var nextGrant = 0

    public init() {}

    public static let sourcesMax = 32
    /// Reading one from the kernel takes 4–8 µs, in which the daemon answers no call.
    public static let grantsAtOnce = 192
    /// Grants that may be asked for by name.
    public static let watchedMax = 32
}

/// The identity of a grant.
public struct GrantLabel: Codable, Hashable, Sendable, Comparable, CustomStringConvertible {
    public var client: String
    /// `tcp/2049`
    public var service: String
    /// The server behind this gateway, and the number of its address there; `nil`: this host.
    public var server: String?
    public var serverID: UInt16?

    public init(client: String = "", service: String = "") {
        self.client = client
        self.service = service
    }

    public var description: String { "\(client) \(service)" + (server.map { " at \($0)" } ?? "") }

    public static func < (left: Self, right: Self) -> Bool {
        (NaturalText(left.client), NaturalText(left.service), left.serverID ?? 0)
            < (NaturalText(right.client), NaturalText(right.service), right.serverID ?? 0)
    }
}

/// Durations by buckets: all since the start, or the difference of two reports.
public struct LatencyReport: Codable, Hashable, Sendable {
    /// The upper bound of each bucket; ``counts`` has one bucket more, for longer durations.
    public var boundsMicroseconds: [Int64]
    public var counts: [Int]
    public var sum: Duration

    public init(boundsMicroseconds: [Int64] = [], counts: [Int] = [], sum: Duration = .zero) {
        self.boundsMicroseconds = boundsMicroseconds
        self.counts = counts
        self.sum = sum
    }

    public var count: Int { counts.reduce(0, +) }

    /// The durations since `earlier`; all of them, if `earlier` belongs to another run.
    func since(_ earlier: Self) -> Self {
        guard earlier.counts.count == counts.count, zip(counts, earlier.counts).allSatisfy({ $0 >= $1 }) else {
            return self
        }
        var difference = self
        difference.counts = zip(counts, earlier.counts).map { $0 - $1 }
        difference.sum = sum - earlier.sum
        return difference
    }

    var mean: Duration? { count > 0 ? sum / count : nil }

    /// The bound of the bucket that holds this share of all durations.
    func quantile(_ share: Double) -> Quantile? {
        let total = count
        guard total > 0 else { return nil }
        let rank = max(1, (Double(total) * share).rounded(.up))
        var seen = 0.0
        for (bucket, bound) in zip(counts, boundsMicroseconds) {
            seen += Double(bucket)
            if seen >= rank { return .atMost(microseconds: bound) }
        }
        return boundsMicroseconds.last.map { .moreThan(microseconds: $0) }
    }

    enum Quantile: Hashable {
        case atMost(microseconds: Int64)
        case moreThan(microseconds: Int64)
    }
}
