/// How many of this host's own datagrams the kernel lets through to port 111.
///
/// Local users share the socket's buffer with remote clients, whose datagrams are lost when it is full. So while local ones
/// come faster than ``perLookMax``, they are thinned out in front of it: one in 2, 4, 8 … is let through.
struct LocalFlood {
    /// Ten thousand a second: more than any service asks, a tenth of what can be answered.
    static let perLookMax = 1000
    /// Looks a second.
    static let looksPerSecond = 10
    static let thinningMax: UInt32 = 10

    private var count = 0
    /// One in 2 to the power of this is let through.
    private(set) var thinning: UInt32 = 0

    mutating func received(_ count: Int) { self.count += count }

    /// A tenth of a second has passed.
    /// - Returns: whether ``thinning`` has changed.
    mutating func looked() -> Bool {
        defer { count = 0 }
        let before = thinning
        if count > Self.perLookMax {
            let excess = UInt32(64 - (count / Self.perLookMax).leadingZeroBitCount)
            thinning = min(thinning + excess, Self.thinningMax)
        } else if count < Self.perLookMax / 4, thinning > 0 {
            thinning -= 1
        }
        return thinning != before
    }
}
