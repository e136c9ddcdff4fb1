/// Limits the datagrams from this host itself that the kernel lets through to port 111.
///
/// Local users share the socket's buffer with remote clients, and these lose datagrams when it is full. So while
/// local datagrams arrive faster than ``perLookMax``, they are thinned out before they reach the buffer: one in 2,
/// 4, 8 … is let through.
struct LocalFlood {
    /// Ten thousand a second: more than any service sends, a tenth of the rate that can be answered.
    static let perLookMax = 1000
    /// Looks per second.
    static let looksPerSecond = 10
    static let thinningMax: UInt32 = 10

    private var count = 0
    /// One in 2 to the power of this is let through.
    private(set) var thinning: UInt32 = 0

    mutating func received(_ count: Int) { self.count += count }

    /// Called every tenth of a second.
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
