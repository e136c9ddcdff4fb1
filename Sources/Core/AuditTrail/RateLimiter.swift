import Addresses
import Clock

/// A token bucket for each source, in bounded memory.
///
/// A bucket is kept as the instant at which it will be full again (the generic cell rate algorithm, ITU-T I.371).
/// From then on it holds no information, and is forgotten before the table would grow. Two generations bound the
/// memory: when the younger is full all the same, the older is forgotten.
public struct RateLimiter: Sendable {
    public struct Key: TableKey, Sendable {
        private var high: UInt64
        private var low: UInt64
        private var kind: UInt8

        private static let isIPv6: UInt8 = 0x80
        private static let isListed: UInt8 = 0x40
        private static let isApart: UInt8 = 0x20

        public static let everyone = Key(high: 0, low: 0, kind: 0)
        /// The bucket that all strangers share over a transport; or all clients named by a rule.
        public static func everyone(
            over transport: Transport, isListed: Bool = false, isApart: Bool = false
        ) -> Key {
            Key(high: 0, low: 0, kind: kind(transport, isListed, isApart))
        }

        private static func kind(_ transport: Transport, _ isListed: Bool, _ isApart: Bool) -> UInt8 {
            transport.rawValue | (isListed ? Self.isListed : 0) | (isApart ? Self.isApart : 0)
        }

        private init(high: UInt64, low: UInt64, kind: UInt8) {
            self.high = high
            self.low = low
            self.kind = kind
        }

        public func combine(into hash: inout TableHash) {
            hash.combine(high)
            hash.combine(low)
            hash.combine(kind)
        }

        /// A client that a rule names counts by its whole address. A stranger over IPv6 counts by its /64,
        /// because one host can have every address in it. This host's users count together. A named client never
        /// shares a bucket with a stranger.
        ///
        /// - Parameter isApart: whether this is the source's second bucket, which shares nothing with its first one.
        public init(_ address: IPAddress, _ transport: Transport, isListed: Bool, isApart: Bool = false) {
            let kind = Self.kind(transport, isListed, isApart)
            switch address {
            case .v4 where address.isLoopback: self.init(high: 0, low: Self.loopback, kind: kind)
            case .v4(let bits): self.init(high: 0, low: UInt64(bits), kind: kind)
            case .v6(let bits):
                let low = isListed ? UInt64(truncatingIfNeeded: bits.value) : 0
                self.init(high: bits.subnet, low: low, kind: kind | Self.isIPv6)
            }
        }

        private static let loopback: UInt64 = 0x7f00_0001
    }

    /// Sources remembered in each generation.
    public static let sourcesMax = 65_536
    private static let sourcesMin = 4096

    /// Nanoseconds in which a bucket regains one unit.
    private let interval: Int64
    /// Nanoseconds in which an empty bucket fills.
    private let depth: Int64
    private var younger: [Key: Int64] = [:]
    private var older: [Key: Int64] = [:]
    /// An empty table, kept for its capacity.
    private var spare: [Key: Int64] = [:]
    /// The number of buckets at which full ones are looked for.
    private var sweepAt = sourcesMin

    /// The number of buckets that are remembered.
    public var count: Int { younger.count + older.count }

    public init(perSecond rate: Int, burst: Int) {
        interval = 1_000_000_000 / Int64(max(1, rate))
        depth = interval * Int64(max(1, burst))
    }

    /// - Parameter cost: the units to take from the bucket; nothing is taken if it holds less.
    public mutating func admits(_ key: Key, cost: Int = 1, at now: Instant) -> Bool {
        let place = younger.index(forKey: key)
        let before = place.map { younger.values[$0] } ?? older[key] ?? now.nanoseconds
        let full = max(before, now.nanoseconds) + Int64(cost) * interval
        guard full - now.nanoseconds <= depth else { return false }
        if let place {
            younger.values[place] = full
        } else {
            if younger.count >= sweepAt { makeRoom(at: now) }
            younger[key] = full
        }
        return true
    }

    private mutating func makeRoom(at now: Instant) {
        swap(&younger, &spare)
        for (key, full) in spare where full > now.nanoseconds { younger[key] = full }
        // Tables take turns while they are of use, so that a flood of sources causes no allocation.
        spare.removeAll(keepingCapacity: spare.capacity <= 4 * max(younger.count, Self.sourcesMin))
        if younger.count >= Self.sourcesMax {
            older = younger
            younger = [:]
        }
        sweepAt = min(max(2 * younger.count, Self.sourcesMin), Self.sourcesMax)
    }
}
