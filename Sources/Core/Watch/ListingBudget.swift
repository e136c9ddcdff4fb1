import Addresses
import AuditTrail
import Clock

/// Bounds the bytes of listings over UDP: they are longer than their calls, and their destination may be forged.
struct ListingBudget {
    /// The longest datagram that libtirpc's clients take (UDPMSGSIZE); rpcbind sends none that is much longer
    /// either.
    static let datagramBytesMax = 8800
    /// Two lists of a busy server a second, and a burst of a few dozen: more than people ask for.
    static let bytesPerSecondPerClient = 16 << 10
    static let burstBytesPerClient = 64 << 10
    /// The bound for all clients, whatever the number of forged ones.
    static let bytesPerSecond = 1 << 20
    static let burstBytes = 1 << 20

    private var perClient = RateLimiter(perSecond: bytesPerSecondPerClient, burst: burstBytesPerClient)
    private var inAll = RateLimiter(perSecond: bytesPerSecond, burst: burstBytes)

    /// - Parameter client: a client that a rule names; no other client is sent a listing over UDP.
    mutating func admits(_ byteCount: Int, to client: IPAddress, at now: Instant) -> Bool {
        perClient.admits(RateLimiter.Key(client, .udp, isListed: true), cost: byteCount, at: now)
            && inAll.admits(.everyone, cost: byteCount, at: now)
    }
}
