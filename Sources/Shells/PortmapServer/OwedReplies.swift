/// What TCP peers are owed, in all.
///
/// Of one connection, no more calls are under way than it may have at once, and nothing more is read while replies of
/// `limits.owed-bytes` wait for its peer to read them. All together may be owed ``bytesMax``; beyond it the greediest is
/// closed.
struct OwedReplies {
    /// Calls of one connection under way; the next wait with the connection, not with the Warden.
    static let callsMax = 64
    /// Those of this host's users, who have as many places as connections: each has its turn, whatever others send.
    static let callsOfThisHostMax = 1
    /// A long listing to each of a thousand peers that read slowly: more are peers that don't read.
    static let bytesMax = 64 << 20

    private static let lookEvery = 8 << 20

    /// What was written since the last look: at the most as much is owed in addition.
    private var written = 0

    mutating func wrote(_ count: Int) { written += count }

    /// So much was written that it is worth a look at what connections really owe.
    var isLookDue: Bool { written > Self.lookEvery }

    /// - Parameter owed: what each connection's peer has not taken yet.
    /// - Returns: the connections that must go, so that all are within the limit until the next look.
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
