import Configuration
import CoreSamples
import Testing

@Suite("what is told of its activity") struct ActivityTests {
    /// A bench with seven grants.
    private static var bench: Bench {
        let bench = Bench.started([.sample()])
        for client in 1...7 { bench.call(.port(of: .mountd), from: .from("10.1.1.\(client)")) }
        return bench
    }

    @Test("pieces of the grants have the size that was asked for, and all are had by and by", arguments: 1...6)
    func pieces(limit: Int) {
        let bench = Self.bench
        var next = 0
        var seen: [Int] = []
        for _ in 0..<7 {
            let piece = bench.loop.warden.gate.page(from: next, limit: limit)
            #expect(piece.keys.count == limit && Set(piece.keys).count == limit)
            seen += piece.keys.map { Int($0.client.description.dropFirst("10.1.1.".count)) ?? 0 }
            next = piece.next
        }
        #expect(Set(seen) == Set(1...7))
        // Seven parts make seven rounds: each grant was read equally often.
        #expect(seen.count { $0 == 1 } == limit && seen.count { $0 == 7 } == limit)
    }

    @Test("all of them are one piece where there is room, wherever it is to begin", arguments: [0, 3, 7, -1, .max])
    func all(start: Int) {
        let piece = Self.bench.loop.warden.gate.page(from: start, limit: 7)
        #expect(piece.keys.count == 7 && piece.next == 0)
        #expect(Self.bench.loop.warden.gate.page(from: start, limit: 0).keys.isEmpty)
        #expect(Bench.started().loop.warden.gate.page(from: start, limit: 5).keys.isEmpty)
        #expect(Self.bench.loop.warden.gate.page(from: start, limit: 3).keys.count == 3)
    }

    @Test("the foremost sources come with what they were denied, and whether they are quarantined")
    func sources() {
        let bench = Bench.started([.sample()], settings: Settings().with { $0.quarantine?.after = 3 })
        for xid in 0..<3 { bench.call(.port(of: .mountd), from: .stranger.over(.tcp), xid: UInt32(xid)) }
        bench.call(.port(of: .nfs), from: .stranger("198.51.100.9"))
        let sources = bench.loop.warden.watch.foremostDenialEntries(limit: 5, at: bench.now)
        #expect(sources.map(\.count) == [3, 1] && sources.map(\.isQuarantined) == [true, false])
        #expect(sources.map(\.programs) == [[.mountd], [.nfs]] && bench.loop.warden.watch.denialSourceCount == 2)
        #expect(bench.loop.warden.watch.foremostDenialEntries(limit: 1, at: bench.now).count == 1)
    }
}
