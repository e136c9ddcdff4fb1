import Portmapper

/// A token bucket for each source, in bounded memory.
///
/// A bucket is kept as the instant at which it will be full again (the generic cell rate algorithm, ITU-T I.371).
/// From then on it says nothing, and is forgotten before the table would grow. Two generations bound the memory: when the
/// younger is full all the same, the older is forgotten.
struct RateLimiter {
    struct Key: TableKey {
        fileprivate var source: UInt64
        fileprivate var kind: UInt8

        static let everyone = Key(source: 0, kind: 0)

        private init(source: UInt64, kind: UInt8) {
            self.source = source
            self.kind = kind
        }

        func combine(into hash: inout TableHash) {
            hash.combine(source)
            hash.combine(kind)
        }

        /// IPv6 clients own a /64 at least.
        init(_ address: IPAddress, _ transport: Transport) {
            switch address {
            case .v4(let bits): self.init(source: UInt64(bits), kind: transport.rawValue)
            case .v6(let bits): self.init(source: bits.subnet, kind: transport.rawValue | 0x80)
            }
        }
    }

    /// Sources remembered in each generation.
    static let sourcesMax = 65_536
    private static let sourcesMin = 4096

    /// Nanoseconds in which a bucket regains one unit.
    private let interval: Int64
    /// Nanoseconds in which an empty bucket fills.
    private let depth: Int64
    private var younger: [Key: Int64] = [:]
    private var older: [Key: Int64] = [:]
    /// Empty.
    private var spare: [Key: Int64] = [:]
    /// So many, and buckets that are full again are looked for.
    private var sweepAt = sourcesMin

    /// Buckets that are remembered.
    var count: Int { younger.count + older.count }

    init(perSecond rate: Int, burst: Int) {
        interval = 1_000_000_000 / Int64(max(1, rate))
        depth = interval * Int64(max(1, burst))
    }

    /// - Parameter cost: what is taken from the bucket, in the units of the rate; nothing if it holds less.
    mutating func admits(_ key: Key, cost: Int = 1, at now: Instant) -> Bool {
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
        // Tables take turns while they are of use, so that a flood of sources asks for no memory.
        spare.removeAll(keepingCapacity: spare.capacity <= 4 * max(younger.count, Self.sourcesMin))
        if younger.count >= Self.sourcesMax {
            older = younger
            younger = [:]
        }
        sweepAt = min(max(2 * younger.count, Self.sourcesMin), Self.sourcesMax)
    }
}
