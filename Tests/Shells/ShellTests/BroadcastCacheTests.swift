import NIOCore
import Testing

@testable import PortmapServer

/// The answers of the kernel's routes, and the number of queries.
private final class Routes {
    var broadcast: Set<UInt32> = []
    var looks = 0
}

extension BroadcastCache {
    fileprivate mutating func areBroadcast(_ addresses: [UInt32], at milliseconds: Int64 = 0) -> [Bool] {
        addresses.map { isBroadcast(.v4($0), at: .uptimeNanoseconds(1) + .milliseconds(milliseconds)) }
    }
}

@Suite("broadcast addresses")
struct BroadcastCacheTests {
    private static func cache(_ routes: Routes) -> BroadcastCache {
        BroadcastCache { bits in
            routes.looks += 1
            return routes.broadcast.contains(bits)
        }
    }

    @Test("each address is looked up once, whatever the order in which they are asked")
    func once() {
        let routes = Routes()
        routes.broadcast = [0x0a4d_01ff]
        var cache = Self.cache(routes)
        for _ in 0..<3 {
            #expect(cache.areBroadcast([0x0a4d_01ff, 0x0a4d_01ff, 0x0a4d_0101]) == [true, true, false])
        }
        #expect(routes.looks == 2)
    }

    @Test("nobody needs to look up loopback addresses, nor IPv6 ones")
    func neverAsked() {
        let routes = Routes()
        var cache = Self.cache(routes)
        #expect(cache.isBroadcast(.v4(0x7fff_ffff), at: .uptimeNanoseconds(1)) == false)
        #expect(cache.isBroadcast(.v6(1), at: .uptimeNanoseconds(1)) == false)
        #expect(routes.looks == 0)
    }

    @Test("what is known is looked up anew after ten seconds, the last address too")
    func expiry() {
        let routes = Routes()
        var cache = Self.cache(routes)
        #expect(cache.areBroadcast([1, 2]) == [false, false])
        routes.broadcast = [1, 2]
        #expect(cache.areBroadcast([1, 2], at: 9999) == [false, false])
        #expect(cache.areBroadcast([2, 1], at: 10_000) == [true, true])
        #expect(routes.looks == 4)
        routes.broadcast = []
        #expect(cache.areBroadcast([1], at: 19_999) == [true])
        #expect(cache.areBroadcast([1], at: 20_000) == [false])
    }

    @Test("more addresses than a host has are forgotten, and looked up anew")
    func bound() {
        let routes = Routes()
        var cache = Self.cache(routes)
        _ = cache.areBroadcast(Array(0..<UInt32(BroadcastCache.addressesMax)))
        #expect(cache.areBroadcast([0]) == [false])
        #expect(routes.looks == BroadcastCache.addressesMax)
        _ = cache.areBroadcast([1 << 20])
        routes.broadcast = [0]
        #expect(cache.areBroadcast([0]) == [true])
        #expect(routes.looks == BroadcastCache.addressesMax + 2)
    }
}
