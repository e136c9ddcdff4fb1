import Clock
import Fleet
import FleetRecords
import Testing

@Suite("a node's back-off") struct BackOffTests {
    /// Connects, reads both ranges, and loses the store again.
    /// - Parameter watching: how long the watch is open; `nil`: it is refused.
    private func visit(_ bench: inout FleetBench, watching: Duration?) {
        bench.node.storeConnected(at: bench.now, into: &bench.actions)
        for _ in 0..<2 { bench.read(StorePage([], revision: 7, isLast: true)) }
        if let watching {
            bench.node.watchOpened(at: bench.now)
            bench.advance(watching)
        }
        bench.node.storeLost(at: bench.now)
        bench.actions = []
    }

    /// The tenths of seconds until the node connects again.
    private func wait(_ bench: inout FleetBench) -> Int {
        for tenths in 0..<400 {
            bench.advance(.milliseconds(100))
            if bench.taken().contains(.connect) { return tenths }
        }
        return 400
    }

    @Test(
        "grows while each watch is refused, or ends soon, though all is read", arguments: [nil, Duration.seconds(29)])
    func refusedWatch(watching: Duration?) {
        var bench = FleetBench()
        bench.advance(.zero)
        var waits: [Int] = []
        for _ in 0..<40 {
            visit(&bench, watching: watching)
            waits.append(wait(&bench))
        }
        // With full jitter, 30 waits of up to 30 s.
        #expect(waits.dropFirst(10).reduce(0, +) > 30 * 50, "\(waits)")
    }

    @Test("grows while the store says that it has compacted what is asked for, whether read or watched")
    func compacted() {
        for isWatched in [false, true] {
            var bench = FleetBench()
            bench.advance(.zero)
            bench.node.storeConnected(at: bench.now, into: &bench.actions)
            var waits: [Int] = []
            for _ in 0..<40 {
                if isWatched {
                    for _ in 0..<2 { bench.read(StorePage([], revision: 7, isLast: true)) }
                    bench.node.watchOpened(at: bench.now)
                }
                bench.actions = []
                bench.node.compacted(at: bench.now)
                var tenths = 0
                while tenths < 400, !bench.taken().contains(.read(.pair, after: nil, revision: nil, max: 2000)) {
                    tenths += 1
                    bench.advance(.milliseconds(100))
                }
                waits.append(tenths)
            }
            #expect(waits.dropFirst(10).reduce(0, +) > 30 * 50, "\(waits)")
            #expect(waits.max() ?? 0 <= 301, "\(waits)")
            #expect(bench.node.isConnected)
        }
    }

    @Test("begins anew after a watch of 30 s")
    func steadyWatch() {
        var bench = FleetBench()
        bench.advance(.zero)
        for _ in 0..<20 {
            visit(&bench, watching: nil)
            _ = wait(&bench)
        }
        for _ in 0..<10 {
            visit(&bench, watching: .seconds(30))
            #expect(wait(&bench) <= 3)
        }
    }
}
