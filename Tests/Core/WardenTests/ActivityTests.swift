import Configuration
import Testing

@testable import Warden

@Suite("what is told of its activity") struct ActivityTests {
    /// A bench with seven grants.
    private static var bench: Bench {
        var bench = Bench.started([.sample()])
        for client in 1...7 { bench.call(.port(of: .mountd), from: .from("10.1.1.\(client)")) }
        return bench
    }

    @Test("pieces of the grants have the size that was asked for, and all are had by and by", arguments: 1...6)
    func pieces(limit: Int) {
        let warden = Self.bench.warden
        var next = 0
        var seen: [Int] = []
        for _ in 0..<7 {
            let piece = warden.grantPage(from: next, limit: limit)
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
        let piece = Self.bench.warden.grantPage(from: start, limit: 7)
        #expect(piece.keys.count == 7 && piece.next == 0)
        #expect(Self.bench.warden.grantPage(from: start, limit: 0).keys.isEmpty)
        #expect(Bench.started().warden.grantPage(from: start, limit: 5).keys.isEmpty)
        #expect(Self.bench.warden.grantPage(from: start, limit: 3).keys.count == 3)
    }

    @Test("the foremost sources come with what they were denied, and whether they are quarantined")
    func sources() {
        var bench = Bench.started([.sample()], settings: Settings().with { $0.quarantine?.after = 3 })
        for xid in 0..<3 { bench.call(.port(of: .mountd), from: .stranger.over(.tcp), xid: UInt32(xid)) }
        bench.call(.port(of: .nfs), from: .stranger("198.51.100.9"))
        let sources = bench.warden.foremostDenialEntries(limit: 5, at: bench.now)
        #expect(sources.map(\.count) == [3, 1] && sources.map(\.isQuarantined) == [true, false])
        #expect(sources.map(\.programs) == [[.mountd], [.nfs]] && bench.warden.denialSourceCount == 2)
        #expect(bench.warden.foremostDenialEntries(limit: 1, at: bench.now).count == 1)
    }
}
