import Clock
import FleetRecords

/// What a node is, and how much it takes over.
public struct FleetSettings: Hashable, Sendable {
    public var node: String
    /// The pair whose grants are shared; `nil`: none are.
    public var pair: String?
    /// Foreign grants, at most.
    public var grantsMax = 32_768
    /// The longest `keep` of this node's policy.
    public var keepMax = GrantRecord.keepMax
    /// Records of a page.
    public var pageMax = FleetLimits.pageMax
    public var acceptsQuarantines = true
    public var quarantinesMax = FleetLimits.quarantinesMax
    /// So many nodes must have quarantined a client.
    public var quorum = 1
    /// How long this node takes the word of others, as its daemon says.
    public var quarantineFor = Duration.seconds(600)

    public init(node: String, pair: String?) {
        self.node = node
        self.pair = pair
    }

    /// What is read and watched. A node without a pair reads the quarantines even if it takes none over: a watch begins at
    /// the revision that a page tells.
    public var ranges: [FleetRange] {
        switch (pair, acceptsQuarantines) {
        case (nil, _): [.quarantines]
        case (_?, false): [.pair]
        case (_?, true): [.pair, .quarantines]
        }
    }

    var recordsLease: Duration { keepMax + FleetLimits.leaseMargin }
}

/// Random delays: SplitMix64, so that a simulation can replay them.
struct Jitter: RandomNumberGenerator, Sendable {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var bits = state
        bits = (bits ^ (bits >> 30)) &* 0xbf58_476d_1ce4_e5b9
        bits = (bits ^ (bits >> 27)) &* 0x94d0_49bb_1331_11eb
        return bits ^ (bits >> 31)
    }

    mutating func duration(upTo longest: Duration) -> Duration {
        .nanoseconds(Int64.random(in: 0...max(0, longest.nanoseconds), using: &self))
    }
}

/// Delays between attempts: 0.25 s, doubled up to 30 s, of which a random part is waited.
struct BackOff: Sendable {
    private var longest = FleetLimits.backOffFirst

    mutating func next(_ jitter: inout Jitter) -> Duration {
        defer { longest = min(longest * 2, FleetLimits.backOffMax) }
        return jitter.duration(upTo: longest)
    }

    mutating func reset() { longest = FleetLimits.backOffFirst }
}
