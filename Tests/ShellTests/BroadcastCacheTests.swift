import NIOCore
import Portmapper
import Testing

@testable import PortmapServer

/// What the kernel's routes say, and how often they were asked.
private final class Routes {
    var broadcast: Set<UInt32> = []
    var looks = 0
}

extension BroadcastCache {
    fileprivate mutating func areBroadcast(_ addresses: [UInt32]) -> [Bool] { addresses.map { isBroadcast(.v4($0)) } }
}

@Suite("broadcast addresses")
struct BroadcastCacheTests {
    /// Of the time 0.
    private static func cache(_ routes: Routes) -> BroadcastCache {
        var cache = BroadcastCache { bits in
            routes.looks += 1
            return routes.broadcast.contains(bits)
        }
        cache.timeAdvanced(to: at(0))
        return cache
    }

    private static func at(_ milliseconds: Int64) -> NIODeadline { .uptimeNanoseconds(1) + .milliseconds(milliseconds) }

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
        #expect(cache.isBroadcast(.v4(0x7fff_ffff)) == false)
        #expect(cache.isBroadcast(.v6(1)) == false)
        #expect(routes.looks == 0)
    }

    @Test("what is known is looked up anew after ten seconds, the last address too")
    func expiry() {
        let routes = Routes()
        var cache = Self.cache(routes)
        #expect(cache.areBroadcast([1, 2]) == [false, false])
        routes.broadcast = [1, 2]
        cache.timeAdvanced(to: Self.at(9999))
        #expect(cache.areBroadcast([1, 2]) == [false, false])
        cache.timeAdvanced(to: Self.at(10_000))
        #expect(cache.areBroadcast([2, 1]) == [true, true])
        #expect(routes.looks == 4)
        routes.broadcast = []
        cache.timeAdvanced(to: Self.at(19_999))
        #expect(cache.areBroadcast([1]) == [true])
        cache.timeAdvanced(to: Self.at(20_000))
        #expect(cache.areBroadcast([1]) == [false])
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
