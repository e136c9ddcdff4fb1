import Addresses
import AuditTrail
import CoreSamples
import Firewall
import ONCRPC
import Policy
import TestSupport
import Testing

@Suite("rate limiter") struct RateLimiterTests {
    private static let client = RateLimiter.Key(ip("192.0.2.1"), .udp)

    @Test("sources whose buckets are full again take no memory")
    func forgetsFullOnes() {
        var limiter = RateLimiter(perSecond: 1000, burst: 10)
        for source in UInt32(0)..<50_000 {
            let isAdmitted = limiter.admits(RateLimiter.Key(.v4(source), .udp), at: at(Int64(source) / 100))
            #expect(isAdmitted)
        }
        #expect(limiter.count <= 5000)
        // Keys over their limit are remembered, however many other keys come in between.
        for source in UInt32(0)..<20_000 {
            let isAdmitted = limiter.admits(RateLimiter.Key(.v4(source), .tcp), cost: 10, at: at(600))
            #expect(isAdmitted)
        }
        #expect(limiter.admits(RateLimiter.Key(.v4(0), .tcp), at: at(600)) == false)
        #expect(limiter.count >= 20_000)
    }

    @Test("a burst passes, then one an interval; silence fills the bucket again, not beyond")
    func bucket() {
        var limiter = RateLimiter(perSecond: 10, burst: 3)
        func admitted(_ milliseconds: Int64, _ count: Int) -> Int {
            (0..<count).count { _ in limiter.admits(Self.client, at: at(milliseconds)) }
        }
        #expect(admitted(0, 9) == 3)
        #expect(admitted(99, 9) == 0)
        #expect(admitted(100, 9) == 1)
        #expect(admitted(300, 9) == 2)
        #expect(admitted(60_000, 9) == 3)
    }

    @Test("transports are apart, and so are IPv4 clients; a /64 is one client")
    func keys() {
        let keys = [
            RateLimiter.Key(ip("192.0.2.1"), .udp), .init(ip("192.0.2.1"), .tcp), .init(ip("192.0.2.2"), .udp),
            .init(ip("2001:db8::1"), .udp), .init(ip("2001:db8:0:1::1"), .udp), .init(ip("::192.0.2.1"), .udp),
            .everyone, .everyone(over: .tcp), .everyone(over: .udp),
        ]
        #expect(Set(keys).count == keys.count)
        #expect(RateLimiter.Key(ip("2001:db8::1"), .udp) == RateLimiter.Key(ip("2001:db8::ffff:ffff:ffff:ffff"), .udp))
        #expect(RateLimiter.Key(ip("127.0.0.1"), .udp) == RateLimiter.Key(ip("127.255.0.9"), .udp), "this host's users")
        // Named clients have separate keys, and share none with a stranger.
        let addresses = ["192.0.2.1", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::"].map { ip($0) }
        let shared = Transport.allCases.map { RateLimiter.Key.everyone(over: $0, isListed: true) }
        let named = addresses.map { RateLimiter.Key($0, .udp, isListed: true) } + shared
        #expect(Set(named).count == named.count)
        #expect(Set(named).isDisjoint(with: keys + addresses.map { RateLimiter.Key($0, .udp) }))
    }

    @Test("takes what a thing costs, and nothing when the bucket holds less")
    func cost() {
        var limiter = RateLimiter(perSecond: 1000, burst: 3000)
        func admits(_ cost: Int, _ milliseconds: Int64) -> Bool {
            limiter.admits(Self.client, cost: cost, at: at(milliseconds))
        }
        #expect(!admits(3001, 0))
        #expect(admits(2500, 0))
        #expect(!admits(501, 0))
        #expect(admits(500, 0))
        #expect(!admits(101, 100))
        #expect(admits(100, 100))
    }

    @Test("a million sources, IPv4 and IPv6, leave no more than two generations behind")
    func bounded() {
        var limiter = RateLimiter(perSecond: 1, burst: 200)
        var generator = SeededGenerator(state: 7)
        var largest = 0
        for index in 0..<1_000_000 {
            let bits = UInt64.random(in: .min ... .max, using: &generator)
            let source: IPAddress =
                index.isMultiple(of: 2) ? .v4(UInt32(truncatingIfNeeded: bits)) : .v6(IPv6Bits(UInt128(bits) << 64))
            if source.isLoopback { continue }
            #expect(limiter.admits(.init(source, index % 3 == 0 ? .tcp : .udp), at: at(Int64(index / 100))) == true)
            largest = max(largest, limiter.count)
        }
        #expect(largest == 2 * RateLimiter.sourcesMax)
    }

    @Test("remembers the younger half of the sources when there are too many")
    func generations() {
        var limiter = RateLimiter(perSecond: 1, burst: 1)
        #expect(limiter.admits(Self.client, at: at(0)) == true)
        for source in 0..<UInt32(RateLimiter.sourcesMax) {
            _ = limiter.admits(.init(.v4(0x0b00_0000 + source), .udp), at: at(1))
        }
        #expect(limiter.admits(Self.client, at: at(2)) == false)
        for source in 0..<UInt32(2 * RateLimiter.sourcesMax) {
            _ = limiter.admits(.init(.v4(0x0c00_0000 + source), .udp), at: at(3))
        }
        #expect(limiter.admits(Self.client, at: at(4)) == true)
    }
}
