/// Bounds the replies owed to all TCP peers.
///
/// The calls under way of one connection are bounded, and the connection isn't read while replies of
/// `limits.owed-bytes` wait for its peer to read them. All connections together may be owed ``bytesMax``; beyond
/// that the connection owed most is closed.
struct OwedReplies {
    /// Calls of one connection under way; further calls wait with the connection, not with the Warden.
    static let callsMax = 64
    /// The same for connections of this host's users, who can open many connections: each has its turn, whatever
    /// the others send.
    static let callsOfThisHostMax = 1
    /// Enough for a long listing to each of a thousand peers that read slowly; more means peers that don't read.
    static let bytesMax = 64 << 20

    private static let lookEvery = 8 << 20

    /// Bytes written since the last look; at most so much is owed in addition to that look's result.
    private var written = 0

    mutating func wrote(_ count: Int) { written += count }

    /// Whether enough was written to justify a look at the bytes really owed.
    var isLookDue: Bool { written > Self.lookEvery }

    /// - Parameter owed: bytes that each connection's peer has not taken yet.
    /// - Returns: the connections to close, so that the total stays within the limit until the next look.
    mutating func looked<ID: Comparable>(_ owed: [ID: Int]) -> [ID] {
        written = 0
        var excess = owed.values.reduce(0, +) - (Self.bytesMax - Self.lookEvery)
        guard excess > 0 else { return [] }
        var victims: [ID] = []
        for (id, count) in owed.sorted(by: { ($0.value, $0.key) > ($1.value, $1.key) }) where excess > 0 {
            victims.append(id)
            excess -= count
        }
        return victims
    }
}
