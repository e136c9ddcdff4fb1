import Firewall
import ONCRPC
import Policy
import Portmapper
import Testing

@testable import Warden

private func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: 1_000_000_000_000 + milliseconds * 1_000_000) }

@Suite("instant") struct InstantTests {
    private static let first = Instant(nanoseconds: .min)
    private static let last = Instant(nanoseconds: .max)

    @Test("stays at the first or the last one, rather than overflow")
    func saturates() {
        #expect(at(0) + .seconds(Int64.max) == Self.last)
        #expect(Self.last + .nanoseconds(1) == Self.last)
        #expect(at(0) + .nanoseconds(1) - .nanoseconds(1) == at(0))
        #expect(Self.first - .nanoseconds(1) == Self.first)
        #expect(Self.last - .seconds(-1) == Self.last)
        #expect(Self.first + .seconds(-1) == Self.first)
        #expect(at(0) - Self.first == .nanoseconds(Int64.max))
        #expect(Self.first - at(0) == .nanoseconds(Int64.min))
        #expect(at(3) - at(1) == .milliseconds(2))
    }
}

@Suite("connection table") struct ConnectionTableTests {
    static func table(_ count: Int = 4, perClient: Int = 2) -> ConnectionTable {
        var limits = Settings.Limits()
        (limits.tcpConnections, limits.tcpConnectionsPerClient, limits.tcpIdle) = (count, perClient, .seconds(30))
        return ConnectionTable(limits: limits)
    }

    static func open(
        _ table: inout ConnectionTable, _ id: UInt64, _ client: String, named: Bool = false, local: Bool = false,
        at time: Int64 = 0
    ) -> [UInt64] {
        table.opened(id, from: ip(client), isLocal: local, isNamed: named, at: at(time))
    }

    @Test("a stranger at its limit loses the new connection, and gets a place when one is closed")
    func perClient() {
        var table = Self.table()
        #expect((1...3).map { Self.open(&table, $0, "192.0.2.1") } == [[], [], [3]])
        table.closed(3)
        table.closed(1)
        #expect(table.count == 1)
        #expect(Self.open(&table, 4, "192.0.2.1") == [])
    }

    @Test("a named client at its limit loses its own longest idle connection, nobody else's")
    func perNamedClient() {
        var table = Self.table()
        _ = Self.open(&table, 1, "192.0.2.1", at: 0)
        for id in 2...3 { _ = Self.open(&table, UInt64(id), "10.1.2.3", named: true, at: Int64(id)) }
        table.received(2, isInsideRecord: false, at: at(9))
        #expect(Self.open(&table, 4, "10.1.2.3", named: true, at: 300) == [3])
        #expect(Self.open(&table, 5, "10.1.2.3", named: true, at: 301) == [2])
        #expect(table.count == 3)
    }

    @Test("no connection with an unanswered call makes room for a newer one of its client, nor one that has just come")
    func unanswered() {
        var table = Self.table(100)
        // Each is accepted before the call of the one before is read.
        for id in 1...UInt64(16) { #expect(Self.open(&table, id, "10.1.2.3", named: true, at: Int64(id)) == []) }
        #expect(Self.open(&table, 17, "10.1.2.3", named: true, at: 17) == [17], "eight times its places are the most")
        for id in 1...UInt64(16) {
            table.received(id, isInsideRecord: false, at: at(20))
            table.callBegan(id)
        }
        #expect(table.surplus(at: at(300)) == [])
        table.callEnded(5)
        #expect(Self.open(&table, 18, "10.1.2.3", named: true, at: 301) == [5])
        // What it has beyond its limit goes when it has been answered.
        for id in [UInt64(7), 3, 9] { table.callEnded(id) }
        #expect(table.surplus(at: at(302)) == [3, 7, 9])
        for id in 1...UInt64(16) where ![3, 5, 7, 9].contains(id) { table.callEnded(id) }
        #expect(table.surplus(at: at(303)).count == 11)
        #expect(table.count == 2)
        #expect(table.surplus(at: at(900)) == [])
    }

    @Test("when a client has taken all places with calls under way, another one gets in, but not the same")
    func unansweredInAll() {
        var table = Self.table(3, perClient: 1)
        for id in 1...UInt64(3) {
            _ = Self.open(&table, id, "10.1.2.3", named: true)
            table.callBegan(id)
        }
        #expect(Self.open(&table, 4, "10.1.2.3", named: true, at: 1000) == [4])
        #expect(Self.open(&table, 5, "10.1.2.4", named: true, at: 1000) == [1])
    }

    @Test(
        "a call under way keeps its connection from expiring, and from local newcomers; its answer begins the time anew"
    )
    func underWay() {
        var table = Self.table(2)
        _ = Self.open(&table, 1, "192.0.2.1")
        for id in 11...UInt64(12) { _ = Self.open(&table, id, "127.0.0.1", local: true) }
        for id in [UInt64(1), 11, 12] { table.callBegan(id) }
        for second in Int64(1)...60 { #expect(table.expired(at: at(second * 1000)) == []) }
        #expect(Self.open(&table, 13, "127.0.0.1", local: true, at: 60_000) == [13])
        for id in [UInt64(1), 11] { table.callEnded(id) }
        #expect(table.expired(at: at(90_000)) == [])
        #expect(table.expired(at: at(90_001)) == [1, 11])
        #expect(Self.open(&table, 14, "127.0.0.1", local: true, at: 90_002) == [11])
        #expect(table.crowded() == [1], "a stranger's has no such claim")
    }

    @Test("a stranger's IPv6 /64 is one source; clients that rules name are told apart within theirs")
    func subnets() {
        var table = Self.table()
        #expect((1...3).map { Self.open(&table, $0, "2001:db8::\($0)") } == [[], [], [3]])
        #expect(Self.open(&table, 4, "2001:db8:0:1::1", at: 1) == [])
        let victims = (5...8).map { Self.open(&table, $0, "2001:db8:1::\($0)", named: true, at: Int64($0)) }
        #expect(victims == [[], [1], [2], [4]])
        #expect(table.count == 4)
    }

    @Test("when descriptors run out, strangers go, the longest waiting first; named and local clients stay")
    func crowded() {
        var table = Self.table(100, perClient: 3)
        _ = Self.open(&table, 1, "10.1.2.3", named: true)
        _ = Self.open(&table, 2, "127.0.0.1", local: true)
        for id in 3...20 { _ = Self.open(&table, UInt64(id), "192.0.2.\(id)", at: Int64(id)) }
        let victims = [table.crowded(), table.crowded(), table.crowded()]
        #expect(victims == [Array(3...18), [19, 20], []])
        #expect(table.count == 2)
    }

    @Test("when all places are taken, the stranger goes who waits longest since it was heard")
    func longestWaiting() {
        var table = Self.table()
        for id in 1...3 { _ = Self.open(&table, UInt64(id), "192.0.2.\(id)", at: Int64(id)) }
        _ = Self.open(&table, 4, "10.1.2.3", named: true, at: 0)
        table.received(1, isInsideRecord: false, at: at(8))
        #expect((5...8).map { Self.open(&table, $0, "192.0.2.\($0)", at: Int64($0) + 4) } == [[2], [3], [1], [5]])
        #expect(table.count == 4)
    }

    @Test("a stranger that is heard without end is remembered once")
    func boundedQueue() {
        var table = Self.table()
        for id in 1...4 { _ = Self.open(&table, UInt64(id), "192.0.2.\(id)", at: Int64(id)) }
        for time in 5...Int64(10_000) { table.received(1, isInsideRecord: false, at: at(time)) }
        #expect(table.strangersRemembered < 32)
        for id in 1...UInt64(10_000) {
            table.closed(4)
            _ = Self.open(&table, 100 + id, "192.0.2.4", at: 3)
            table.closed(100 + id)
            #expect(table.strangersRemembered < 32, "who comes and goes without a byte leaves nothing")
        }
        _ = Self.open(&table, 4, "192.0.2.4", at: 4)
        #expect((5...8).map { Self.open(&table, $0, "192.0.2.\($0)", at: 10_001) } == [[2], [3], [4], [1]])
    }

    @Test("a stranger never takes a named client's place; a named client takes strangers' first, then the greediest's")
    func named() {
        var table = Self.table()
        for id in 1...3 { _ = Self.open(&table, UInt64(id), "10.1.2.\(id / 2)", named: true, at: Int64(id)) }
        _ = Self.open(&table, 4, "192.0.2.1", at: 9)
        #expect(Self.open(&table, 5, "10.1.2.9", named: true, at: 10) == [4])
        #expect(Self.open(&table, 6, "192.0.2.6", at: 11) == [6])
        #expect(Self.open(&table, 7, "10.1.2.8", named: true, at: 12) == [2])
    }

    @Test("local connections always get in; they take places from each other, not from remote ones")
    func local() {
        var table = Self.table()
        for id in 1...4 { _ = Self.open(&table, UInt64(id), "192.0.2.\(id)") }
        #expect((11...14).map { Self.open(&table, $0, "127.0.0.1", local: true, at: Int64($0)) } == [[], [], [], []])
        #expect(Self.open(&table, 15, "127.0.0.1", local: true, at: 15) == [11])
        #expect(Self.open(&table, 16, "127.0.0.2", local: true, at: 16) == [12])
        #expect(table.count == 8)
        table.closed(16)
        #expect(Self.open(&table, 17, "127.0.0.2", local: true, at: 17) == [])
        #expect(Self.open(&table, 18, "10.1.1.1", named: true, at: 18).count == 1)
    }

    @Test("an idle connection ends after tcp-idle, and a trickling record buys no time")
    func idle() {
        var table = Self.table()
        _ = Self.open(&table, 1, "192.0.2.1")
        _ = Self.open(&table, 2, "192.0.2.2")
        for second in stride(from: Int64(5), through: 30, by: 5) {
            table.received(1, isInsideRecord: true, at: at(second * 1000))
            table.received(2, isInsideRecord: false, at: at(second * 1000))
        }
        #expect(table.expired(at: at(35_000)) == [])
        #expect(table.expired(at: at(35_001)) == [1])
        table.received(1, isInsideRecord: false, at: at(35_002))
        #expect(table.expired(at: at(60_001)) == [2])
        table.received(99, isInsideRecord: false, at: at(0))
        #expect(table.count == 2)
    }

    @Test("a client that mounts a hundred file systems at once, while rpcbind is slow, loses no connection")
    func storm() {
        var bench = Bench.started([.sample()])
        bench.holdsQuestions = true
        let peers = (1...100).map { Peer.from("10.1.2.3", .tcp, port: UInt16($0), channel: UInt64($0)) }
        for start in stride(from: 0, to: 100, by: 16) {
            let accepted = peers[start..<min(start + 16, 100)]
            for peer in accepted { bench.handle { $0.connectionOpened(peer, at: $1, into: &$2) } }
            for peer in accepted {
                bench.call(.port(of: .mountd), from: peer)
                bench.warden.connectionReceived(peer.channel, isInsideRecord: false, at: bench.now)
            }
        }
        bench.advance(by: .milliseconds(700))
        #expect(bench.closed == [])
        bench.holdsQuestions = false
        bench.answerAll()
        #expect(Set(bench.replies.map(\.peer)) == Set(peers) && bench.denials == [])
        bench.advance(by: .milliseconds(50))
        #expect(bench.warden.connectionCount == 16)
        #expect(bench.warden.counters.crowdedOut == 84)
    }

    @Test("the Warden closes the connection that is owed most, when all are owed too much")
    func overflow() {
        var bench = Bench.started()
        bench.handle { warden, now, actions in
            warden.connectionOpened(.loopback.over(.tcp), at: now, into: &actions)
            warden.repliesOverflowed(1, into: &actions)
        }
        #expect((bench.closed, bench.warden.counters.crowdedOut) == ([1], 1))
    }

    @Test("the Warden closes idle connections and those that have no place")
    func inWarden() {
        var bench = Bench.started(settings: Settings().with { $0.limits.tcpConnectionsPerClient = 1 })
        for id in 1...2 {
            bench.handle { $0.connectionOpened(.from("192.0.2.1", .tcp, channel: UInt64(id)), at: $1, into: &$2) }
        }
        #expect((bench.closed, bench.warden.connectionCount) == ([2], 1))
        #expect(bench.warden.counters.crowdedOut == 1)
        bench.warden.connectionReceived(1, isInsideRecord: true, at: bench.now)
        bench.advance(by: .seconds(31))
        #expect((bench.closed, bench.warden.connectionCount) == ([2, 1], 0))
        bench.warden.connectionClosed(1)
        #expect(bench.warden.connectionCount == 0)
    }
}

@Suite("limits and descriptors") struct DescriptorTests {
    @Test(
        "connections, remote and local, fit into the descriptors, and one always does",
        arguments: [
            (1_048_576, 1024), (2 * 1024 + 48, 1024), (2 * 1024 + 47, 1023), (1024, 488), (64, 8), (48, 1), (3, 1),
        ])
    func fitted(descriptors: Int, connections: Int) {
        let limits = Settings.Limits()
        #expect(limits.fitted(toDescriptors: descriptors).tcpConnections == connections)
        #expect(limits.fitted(toDescriptors: limits.descriptorsNeeded) == limits)
    }
}

@Suite("listing budget") struct ListingBudgetTests {
    @Test("a client gets a burst of bytes, then so many a second, and no other client less")
    func perClient() {
        var budget = ListingBudget()
        func served(_ client: String, _ milliseconds: Int64) -> Int {
            (0..<1000).count { _ in budget.admits(1024, to: ip(client), at: at(milliseconds)) }
        }
        #expect(served("10.1.2.3", 0) == 64)
        #expect(served("10.1.2.4", 0) == 64)
        #expect(served("10.1.2.3", 1000) == 16)
        #expect(served("2001:db8::1", 1000) == 64)
        #expect(served("2001:db8::2", 1000) == 64, "a neighbour is another client")
    }

    @Test("however many clients are claimed, all together get so many bytes a second")
    func inAll() {
        var budget = ListingBudget()
        func served(_ milliseconds: Int64) -> Int {
            (0..<UInt32(10_000)).count { budget.admits(1024, to: .v4($0), at: at(milliseconds)) }
        }
        #expect(served(0) == 1024)
        #expect((1023...1025).contains(served(1000)))
    }
}

extension RateLimiter.Key {
    /// Of a stranger.
    fileprivate init(_ address: IPAddress, _ transport: Transport) { self.init(address, transport, isNamed: false) }
}

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
        // Those that aren't are remembered, however many come between.
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
            .everyone,
        ]
        #expect(Set(keys).count == keys.count)
        #expect(RateLimiter.Key(ip("2001:db8::1"), .udp) == RateLimiter.Key(ip("2001:db8::ffff:ffff:ffff:ffff"), .udp))
        #expect(RateLimiter.Key(ip("127.0.0.1"), .udp) == RateLimiter.Key(ip("127.255.0.9"), .udp), "this host's users")
        // Those whom rules name are told apart, and share with no stranger.
        let addresses = ["192.0.2.1", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::"].map { ip($0) }
        let named = addresses.map { RateLimiter.Key($0, .udp, isNamed: true) } + [RateLimiter.Key.everyoneNamed]
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

@Suite("audit limiter") struct AuditLimiterTests {
    private static func denied(_ client: IPAddress?) -> AuditEvent {
        var event = AuditEvent(.denied)
        event.client = client
        event.transport = .udp
        return event
    }

    @Test("what one client loses is counted exactly and summed up once", arguments: [1, 250, 100_000])
    func exact(count: Int) {
        var limiter = AuditLimiter()
        let written = (0..<count).count { _ in limiter.admits(Self.denied(ip("192.0.2.1")), at: at(0)) }
        #expect(written == min(count, 200))
        #expect(limiter.summary(at: at(9_999)) == [])
        let summary = limiter.summary(at: at(10_000))
        #expect(summary.compactMap(\.count).reduce(written, +) == count)
        #expect(summary.map(\.detail) == (count > 200 ? ["denied"] : []))
        #expect(summary.map(\.window) == (count > 200 ? [.seconds(10)] : []))
        #expect(limiter.summary(at: at(60_000)) == [])
    }

    @Test("the window begins with the first line that was lost, however long nothing was")
    func window() {
        var limiter = AuditLimiter()
        for _ in 0..<201 { _ = limiter.admits(Self.denied(ip("192.0.2.1")), at: at(0)) }
        #expect(limiter.summary(at: at(10_000)).map(\.window) == [.seconds(10)])
        for _ in 0..<1000 { _ = limiter.admits(Self.denied(ip("192.0.2.1")), at: at(3_600_000)) }
        #expect(limiter.summary(at: at(3_600_050)) == [])
        #expect(limiter.summary(at: at(3_612_000)).map(\.window) == [.seconds(12)])
    }

    @Test("many clients together lose what exceeds the whole, each kind by itself")
    func inAll() {
        var limiter = AuditLimiter()
        var written = 0
        for client in 0..<UInt32(10_000) {
            var event = Self.denied(.v4(client))
            if client % 4 == 0 { event.kind = .malformed }
            if limiter.admits(event, at: at(0)) { written += 1 }
        }
        #expect(written == 5000)
        let summary = limiter.summary(at: at(10_000))
        #expect(summary.map(\.detail) == ["denied", "malformed"])
        #expect(summary.map(\.count) == [3750, 1250])
    }

    @Test("what is written and what is summed up are all there was, within the rates", arguments: 0..<20)
    func property(seed: Int) {
        var generator = SeededGenerator(state: UInt64(seed))
        var limiter = AuditLimiter()
        let kinds: [AuditEvent.Kind] = [.permitted, .denied, .malformed, .granted, .probed]
        let sources = UInt32.random(in: 1...2000, using: &generator)
        var (events, written, summed): ([AuditEvent.Kind: Int], [AuditEvent.Kind: Int], [AuditEvent.Kind: Int])
        (events, written, summed) = ([:], [:], [:])
        var writtenOf: [RateLimiter.Key: Int] = [:]
        var time: Int64 = 0
        func take(_ summary: [AuditEvent]) {
            for event in summary {
                guard let kind = event.detail.flatMap(AuditEvent.Kind.init) else { continue }
                summed[kind, default: 0] += event.count ?? 0
            }
        }
        for _ in 0..<30_000 {
            time += Int64.random(in: 0...2, using: &generator)
            var event = Self.denied(.v4(UInt32.random(in: 0..<sources, using: &generator)))
            event.kind = kinds.randomElement(using: &generator) ?? .denied
            event.transport = Bool.random(using: &generator) ? .udp : .tcp
            events[event.kind, default: 0] += 1
            if limiter.admits(event, at: at(time)) {
                written[event.kind, default: 0] += 1
                if let client = event.client { writtenOf[.init(client, event.transport ?? .udp), default: 0] += 1 }
            }
            take(limiter.summary(at: at(time)))
        }
        take(limiter.lastSummary(at: at(time)))
        #expect(written.merging(summed, uniquingKeysWith: +) == events)
        let seconds = Int(time / 1000) + 1
        #expect(written.values.reduce(0, +) <= 500 * (10 + seconds))
        #expect(writtenOf.values.allSatisfy { $0 <= 20 * (10 + seconds) })
        #expect(limiter.lastSummary(at: at(time)) == [])
    }

    @Test(
        "what is rare is never swallowed; what local users cause, and findings about clients, have rates of their own")
    func withoutClient() {
        var limiter = AuditLimiter()
        for kind in AuditEvent.Kind.allCases {
            let written = (0..<1000).count { _ in limiter.admits(AuditEvent(kind), at: at(0)) }
            let rated: [AuditEvent.Kind] = [
                .registered, .unregistered, .untrustedRegistration, .staleRegistration, .enumeration, .quarantined,
                .released, .orphaned, .unguardable,
            ]
            #expect(rated.contains(kind) ? written <= 200 : written == 1000)
        }
    }
}

@Suite("due queue") struct DueQueueTests {
    @Test("gives what is due in the order of time, and nothing before", arguments: 0..<20)
    func order(seed: Int) {
        var generator = SeededGenerator(state: UInt64(seed))
        var queue = DueQueue<Int64>()
        let times = (0..<200).map { _ in Int64.random(in: 0...99, using: &generator) }
        for (index, time) in times.enumerated() {
            queue.insert(time, at: at(time), among: index + 1, times[...index].map { ($0, at($0)) })
        }
        #expect(queue.popFirst(until: at(-1)) == nil)
        var taken: [Int64] = []
        for now in Int64(0)..<100 {
            while let (item, instant) = queue.popFirst(until: at(now)) {
                #expect(instant == at(item) && item <= now)
                taken.append(item)
            }
        }
        #expect(taken == times.sorted())
        #expect(queue.count == 0)
    }
}

@Suite("tables of what is due stay as small as what lives") struct DueTableTests {
    @Test("each key is due once, at the instant that it was given last, unless it was removed")
    func due() {
        var table = DueTable<Int>()
        for (key, time) in [(1, 5), (2, 1), (1, 3), (3, 2), (1, 9), (2, 7)] as [(Int, Int64)] {
            table.insert(key, at: at(time))
        }
        #expect(table.remove(3) == true)
        #expect(table.remove(3) == false)
        #expect(table.popFirst(until: at(6)) == nil)
        #expect(table.popFirst(until: at(8))?.key == 2)
        #expect(table[1] == at(9) && table.count == 1)
        #expect(table.popFirst(until: at(9))?.at == at(9))
        #expect(table.count == 0 && table.queuedCount == 0)
    }

    @Test("agrees with a plain dictionary, however often it is thinned out", arguments: 0..<20)
    func model(seed: Int) {
        var generator = SeededGenerator(state: UInt64(seed))
        var table = DueTable<Int>(staleEntriesMax: 3)
        var model: [Int: Instant] = [:]
        for step in Int64(0)..<2000 {
            let key = Int.random(in: 0..<20, using: &generator)
            switch Int.random(in: 0..<4, using: &generator) {
            case 0: #expect(table.remove(key) == (model.removeValue(forKey: key) != nil))
            case 1:
                while let (key, instant) = table.popFirst(until: at(step)) {
                    #expect(model.removeValue(forKey: key) == instant)
                }
                #expect(model.values.allSatisfy { $0 > at(step) })
            default:
                model[key] = at(step + Int64.random(in: 0..<40, using: &generator))
                table.insert(key, at: model[key] ?? .zero)
            }
            #expect(table.instants == model)
            #expect(table.queuedCount <= 2 * 20 + 3)
        }
    }

    @Test("a memory of grants that end and are issued again without end")
    func memory() {
        var memory = GrantMemory()
        let note = GrantNote(program: .mountd, issued: Timestamp(milliseconds: 0), rule: "r")
        let keys = (1...100).map { GrantKey(client: .v4(UInt32($0)), service: .tcp(1)) }
        for cycle in Int64(0)..<1000 {
            for key in keys {
                let entry = GrantMemory.Entry(note: note, programs: Programs(.mountd), until: at(cycle + 1_000_000))
                _ = memory.remember(key, entry, limit: 1000)
            }
            #expect(keys.count { memory.forget($0) } == keys.count)
        }
        #expect(memory.dueCount < 2000)
    }

    @Test("a list of quarantines that are lifted and come again without end")
    func quarantines() {
        var list = QuarantineList()
        for cycle in Int64(0)..<100_000 {
            #expect(list.add(.v4(UInt32(cycle % 10)), until: at(cycle + 1_000_000)) == true)
            #expect(list.remove(.v4(UInt32(cycle % 10))) == true)
        }
        #expect(list.dueCount < 2000)
    }
}

@Suite("programs") struct ProgramsTests {
    @Test("are ascending, each once")
    func union() {
        var programs = Programs(.mountd)
        for more in [Programs(.mountd), Programs(.status), Programs(.nfs), Programs(.status)] {
            programs.formUnion(more)
        }
        #expect(programs.all == [.nfs, .mountd, .status] && programs.least == .nfs)
        #expect(programs.contains(.nfs) && programs.contains(.status) && !programs.contains(.nlockmgr))
        #expect(programs.contains { $0 == .status } && !programs.contains { $0 == .nlockmgr })
        #expect(Programs(.nfs) != programs)
    }
}

@Suite("grant note") struct GrantNoteTests {
    private static let issued = Timestamp(milliseconds: 1_795_000_000_000)

    static let rules = [
        "policy.yaml:14 \"workstations mount NFSv3\"", "", " ", "two  spaces ", "by since by", "\"",
        "100003 since 2026-11-18T11:06:40Z by another",
    ]

    @Test("is read back as it was written", arguments: rules)
    func roundTrip(rule: String) {
        let note = GrantNote(program: .mountd, issued: Self.issued, rule: rule)
        #expect(GrantNote(note.description) == note)
        #expect(ElementComment.permits(note.description))
    }

    @Test(
        "characters that nft would print as they are become question marks, and are no more when they are read",
        arguments: [
            ("ümläut 🎉", "?ml?ut ?"), ("a\nb\tc\u{1b}[31m", "a?b?c?[31m"), ("back\\slash", "back?slash"),
            ("\u{202e}gnp\u{2028}", "?gnp?"), ("\0", "?"), ("cafe\u{301}", "cafe?"),
        ])
    func replaced(rule: String, written: String) {
        let note = GrantNote(program: .mountd, issued: Self.issued, rule: rule)
        #expect(note.description == "100005 since 2026-11-18T11:06:40Z by \(written)")
        #expect(ElementComment.permits(note.description))
        #expect(GrantNote("100005 since 2026-11-18T11:06:40Z by \(rule)")?.rule == written)
    }

    @Test("is cut at 127 bytes, and still read back", arguments: ["a", "é", "€", "🎉", "\u{301}", "\\"])
    func cut(character: String) {
        let rule = String(repeating: character, count: 200)
        let note = GrantNote(program: Program(.max), issued: Self.issued, rule: rule)
        #expect(note.description.utf8.count == 127 && ElementComment.permits(note.description))
        let read = GrantNote(note.description)
        #expect(read?.program == Program(.max))
        #expect(read?.rule.allSatisfy { $0 == "a" || $0 == "?" } == true)
    }

    @Test(
        "what we didn't write is no note",
        arguments: [
            "", "100005", "100005 since 2026-11-18T11:06:40Z", "100005 since 2026-11-18T11:06:40Z by",
            "mountd since 2026-11-18T11:06:40Z by r", "-1 since 2026-11-18T11:06:40Z by r",
            "4294967296 since 2026-11-18T11:06:40Z by r", "100005 since 2026-11-18 11:06:40 by r",
            "100005 since 2026-02-30T00:00:00Z by r", "100005 until 2026-11-18T11:06:40Z by r",
        ])
    func foreign(comment: String) {
        #expect(GrantNote(comment) == nil)
    }
}

@Suite("timestamp") struct TimestampTests {
    static let known: [(Int64, String)] = [
        (0, "1970-01-01T00:00:00Z"), (-1000, "1969-12-31T23:59:59Z"), (951_782_399_000, "2000-02-28T23:59:59Z"),
        (951_782_400_000, "2000-02-29T00:00:00Z"), (951_868_800_000, "2000-03-01T00:00:00Z"),
        (1_709_164_800_000, "2024-02-29T00:00:00Z"), (1_735_689_599_000, "2024-12-31T23:59:59Z"),
        (1_740_787_200_000, "2025-03-01T00:00:00Z"), (1_795_000_000_000, "2026-11-18T11:06:40Z"),
        (2_147_483_648_000, "2038-01-19T03:14:08Z"), (4_107_542_399_000, "2100-02-28T23:59:59Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00Z"), (253_402_300_799_000, "9999-12-31T23:59:59Z"),
    ]

    @Test("writes and reads known dates", arguments: known)
    func dates(milliseconds: Int64, text: String) {
        #expect(Timestamp(milliseconds: milliseconds).description == text)
        #expect(Timestamp(text) == Timestamp(milliseconds: milliseconds))
    }

    @Test("shows milliseconds on request, also before 1970")
    func precise() {
        #expect(Timestamp(milliseconds: 1_795_000_000_007).precise == "2026-11-18T11:06:40.007Z")
        #expect(Timestamp(milliseconds: -1).precise == "1969-12-31T23:59:59.999Z")
    }

    @Test("each day of eight hundred years follows the one before")
    func everyDay() {
        var last = ""
        for day in Int64(-146_097)..<146_097 {
            let time = Timestamp(milliseconds: day * 86_400_000)
            #expect(time.description > last && Timestamp(time.description) == time)
            last = time.description
        }
    }

    @Test(
        "reads nothing else",
        arguments: [
            "", "2026-11-18T11:06:40", "2026-11-18T11:06:40z", "2026-11-18 11:06:40Z", "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z", "+026-01-01T00:00:00Z",
            "2026-+1-01T00:00:00Z", "2026/01/01T00:00:00Z", "2026-01-01T00:00:00.0Z", "２026-01-01T00:00Z",
        ])
    func nothingElse(text: String) {
        #expect(Timestamp(text) == nil)
    }
}

@Suite("shared questions") struct SharedQuestionsTests {
    private static let questions: [Question] = [
        .registry, .port(of: .nfs), .registration(.set(.v4, RPCB(.nfs, 3, .udp, port: 1))),
    ]

    @Test(
        "an answer serves those who asked before it was sent, never those who came later", arguments: questions.indices)
    func sharing(first: Int) {
        var questions = SharedQuestions<Int>()
        let question = Self.questions[first]
        let others = Self.questions.indices.filter { $0 != first }
        #expect(questions.join(1, question, at: .zero) == true)
        #expect(questions.join(2, question, at: .zero) == false)
        #expect(questions.join(3, question, at: .zero) == false)
        for other in others { #expect(questions.join(40 + other, Self.questions[other], at: .zero) == true) }
        #expect(questions.count == 3)
        var answer = questions.answered(question, at: .zero)
        #expect((answer.served, answer.isAskedAgain) == ([1], true))
        #expect(questions.join(5, question, at: .zero) == false)
        answer = questions.answered(question, at: .zero)
        #expect((answer.served, answer.isAskedAgain) == ([2, 3], true))
        answer = questions.answered(question, at: .zero)
        #expect((answer.served, answer.isAskedAgain) == ([5], false))
        answer = questions.answered(question, at: .zero)
        #expect((answer.served, answer.isAskedAgain) == ([], false))
        #expect(questions.count == 2)
        for other in others { #expect(questions.answered(Self.questions[other], at: .zero).served == [40 + other]) }
        #expect(questions.join(6, question, at: .zero) == true)
    }

    @Test("the registry is asked for by DUMP of version 4, a port by GETPORT")
    func calls() {
        #expect(Question.registry.call == .dump(.v4))
        #expect(Question.port(of: .nfs).call == .port(of: .nfs))
    }
}

@Suite("service table") struct ServiceTableTests {
    private static func table(_ list: [RPCB]) -> ServiceTable {
        var table = ServiceTable()
        _ = table.registryRead(Registry(list), trusted: ["superuser"], at: .zero)
        return table
    }

    @Test("knows trusted services of other hosts' concern alone")
    func programs() {
        let list =
            .typical + RPCB.everywhere(.nfsACL, 3, port: 2049) + [
                RPCB(.quota, 1, .tcp, port: 2049, owner: "1000"), RPCB(.quota, 1, .udp, "127.0.0.1.8.1"),
                RPCB(.quota, 1, .tcp6, "::1.8.1"), RPCB(.quota, 1, .local, "/run/q"),
            ] as [RPCB]
        #expect(
            Self.table(list).programs == [
                .tcp(20048): [.mountd], .udp(20048): [.mountd], .tcp(2049): [.nfs, .nfsACL],
                .udp(2049): [.nfs, .nfsACL],
            ])
    }

    @Test("tells changes only")
    func changes() {
        var table = Self.table(.typical)
        #expect(table.registryRead(Registry(.typical.reversed()), trusted: ["superuser"], at: .zero) == false)
        #expect(table.registryRead(Registry(), trusted: ["superuser"], at: .zero) == true)
        table = Self.table(.typical)
        let alive: [ServicePort: ListenerState] = [.tcp(2049): ListenerState(ipv4: true)]
        #expect(table.listenersInspected(alive, at: .zero) == true)
        #expect(table.listenersInspected(alive, at: .zero) == false)
        #expect((table.isAlive(.tcp(2049), ipv4: true), table.isAlive(.tcp(2049), ipv4: false)) == (true, false))
        #expect(!table.isAlive(.tcp(1), ipv4: true))
    }

    @Test("remembers no listeners of ports that aren't registered")
    func bounded() {
        var table = Self.table(.typical)
        for port in UInt16(1)...500 {
            _ = table.listenersInspected([.udp(port): ListenerState(ipv4: true)], at: .zero)
        }
        #expect((1...500).count { table.isListening(.udp(UInt16($0))) != nil } == 0)
        #expect(Set(table.watched) == [.tcp(20048), .udp(20048), .tcp(2049), .udp(2049)])
    }

    private static let open = ListenerState(ipv4: true, cookie: 7)

    /// Guarded by an earlier run, and not registered now.
    private static func adopting(_ adopted: ServiceTable.Adopted) -> ServiceTable {
        var table = ServiceTable()
        table.adopt(guarded: [.tcp(9): adopted], at: at(0))
        _ = table.registryRead(Registry(), trusted: ["superuser"], at: .zero)
        return table
    }

    private static func isGuarded(_ table: inout ServiceTable) -> Bool {
        _ = table.updateGuards(never: [])
        return table.guarded.contains(.tcp(9))
    }

    @Test("an adopted port waits for its service, opening nothing, and stays guarded while its socket listens")
    func adopted() {
        var table = Self.adopting(.init(programs: [.nfs], sockets: [7]))
        _ = table.listenersInspected([.tcp(9): ListenerState()], at: at(1))
        #expect((Self.isGuarded(&table), table.programs(at: .tcp(9))) == (true, []))
        _ = table.listenersInspected([.tcp(9): Self.open], at: at(2))
        #expect((Self.isGuarded(&table), table.programs(at: .tcp(9))) == (true, [.nfs]))
        _ = table.listenersInspected([.tcp(9): ListenerState()], at: at(3))
        #expect(!Self.isGuarded(&table))

        table = Self.adopting(.init(programs: [.nfs], sockets: [7]))
        _ = table.listenersInspected([.tcp(9): ListenerState()], at: at(0) + ServiceTable.lingers)
        #expect(!Self.isGuarded(&table))
    }

    @Test("whose socket isn't known, an adopted port is guarded for any trusted one's sake; after a reboot for none's")
    func adoptedUnknown() {
        let later = at(0) + ServiceTable.lingers
        var table = Self.adopting(.init())
        _ = table.listenersInspected([.tcp(9): Self.open], at: later)
        #expect(Self.isGuarded(&table))
        _ = table.listenersInspected([.tcp(9): ListenerState(ipv4: true, cookie: 8)], at: later)
        #expect(!Self.isGuarded(&table))

        table = Self.adopting(.init())
        _ = table.listenersInspected([.tcp(9): ListenerState(ipv4: true, uid: 1000)], at: later)
        #expect(!Self.isGuarded(&table))

        table = Self.adopting(.init(sockets: []))
        _ = table.listenersInspected([.tcp(9): Self.open], at: later)
        #expect(!Self.isGuarded(&table))
    }

    @Test("a port of the never list isn't guarded, registered, adopted or orphaned")
    func never() {
        var table = Self.adopting(.init())
        _ = table.listenersInspected([.tcp(9): Self.open], at: at(1))
        _ = table.updateGuards(never: [9])
        #expect(table.guarded == [])
    }
}

@Suite("grant ledger") struct GrantLedgerTests {
    private static let key = GrantKey("10.1.2.3", .tcp(1))

    private static func grant(until milliseconds: Int64) -> Grant {
        Grant(
            programs: Programs(.nfs), rule: "r", issued: Timestamp(milliseconds: 0),
            expiresNotBefore: at(milliseconds))
    }

    @Test("tells until when a grant lasts to the programs that it is for, and to no other")
    func expiry() {
        var ledger = GrantLedger()
        #expect(ledger.expiry(of: Self.key, for: .nfs) == nil)
        ledger.record(Self.key, Self.grant(until: 5))
        #expect(ledger.expiry(of: Self.key, for: .nfs) == at(5))
        #expect(ledger.expiry(of: Self.key, for: .mountd) == nil)
        #expect(ledger.expiry(of: GrantKey("10.1.2.3", .tcp(2)), for: .nfs) == nil)
        _ = ledger.remove(Self.key)
        #expect(ledger.expiry(of: Self.key, for: .nfs) == nil)
    }

    @Test("counts each client's grants, renewed ones once")
    func counts() {
        var ledger = GrantLedger()
        for _ in 0..<3 { ledger.record(Self.key, Self.grant(until: 1)) }
        ledger.record(GrantKey("10.1.2.3", .udp(1)), Self.grant(until: 1))
        #expect((ledger.count, ledger.count(of: ip("10.1.2.3")), ledger.count(of: ip("10.1.2.4"))) == (2, 2, 0))
        #expect(ledger.remove(Self.key) != nil)
        #expect(ledger.remove(Self.key) == nil)
        #expect(ledger.count(of: ip("10.1.2.3")) == 1)
    }

    @Test("holds what a plain dictionary would, whatever comes and goes", arguments: 0..<20)
    func model(seed: Int) {
        var generator = SeededGenerator(state: UInt64(seed))
        var ledger = GrantLedger()
        var model: [GrantKey: Grant] = [:]
        for step in Int64(0)..<400 {
            let client = "10.1.2.\(Int.random(in: 1...5, using: &generator))"
            let key = GrantKey(client, .tcp(UInt16.random(in: 1...6, using: &generator)))
            if Int.random(in: 0..<5, using: &generator) < 2 {
                let (removed, expected) = (ledger.remove(key), model.removeValue(forKey: key))
                #expect(removed == expected)
            } else {
                ledger.record(key, Self.grant(until: step))
                model[key] = Self.grant(until: step)
            }
            #expect((ledger.count, ledger[key]) == (model.count, model[key]))
            #expect(ledger.count(of: key.client) == model.keys.count { $0.client == key.client })
        }
        #expect(Dictionary(uniqueKeysWithValues: ledger.all.map { ($0.key, $0.grant) }) == model)
        let due = ledger.takeDue(at: at(999), limit: 999)
        #expect(due.sorted() == model.keys.sorted())
    }

    @Test("a place that another grant took is due for that one alone")
    func reused() {
        var ledger = GrantLedger()
        ledger.record(Self.key, Self.grant(until: 1))
        _ = ledger.remove(Self.key)
        let other = GrantKey("10.1.2.9", .tcp(9))
        ledger.record(other, Self.grant(until: 5))
        #expect(ledger.takeDue(at: at(4), limit: 9) == [])
        #expect(ledger.takeDue(at: at(5), limit: 9) == [other])
    }

    @Test("a grant is due when it may have expired, not before, and not again until it is prolonged")
    func due() {
        var ledger = GrantLedger()
        ledger.record(Self.key, Self.grant(until: 10))
        ledger.record(Self.key, Self.grant(until: 20))
        #expect(ledger.takeDue(at: at(19), limit: 9) == [])
        #expect(ledger.takeDue(at: at(20), limit: 9) == [Self.key])
        #expect(ledger.takeDue(at: at(99), limit: 9) == [])
        ledger.prolong(Self.key, notBefore: at(100))
        #expect(ledger.takeDue(at: at(100), limit: 9) == [Self.key])
        ledger.prolong(GrantKey("10.9.9.9", .tcp(1)), notBefore: at(100))
        #expect(ledger.takeDue(at: at(200), limit: 9) == [])
    }

    @Test("no more are due at once than asked for")
    func limit() {
        var ledger = GrantLedger()
        for port in UInt16(1)...10 { ledger.record(GrantKey("10.1.2.3", .tcp(port)), Self.grant(until: 1)) }
        #expect(ledger.takeDue(at: at(1), limit: 6).count == 6)
        #expect(ledger.takeDue(at: at(1), limit: 6).count == 4)
    }

    @Test("a grant that is renewed without end leaves a bounded queue, and is still due")
    func bounded() {
        var ledger = GrantLedger()
        for time in Int64(1)...100_000 { ledger.record(Self.key, Self.grant(until: time)) }
        #expect(ledger.dueCount < 2000)
        #expect(ledger.takeDue(at: at(99_999), limit: 9) == [])
        #expect(ledger.takeDue(at: at(100_000), limit: 9) == [Self.key])
    }
}

/// SplitMix64: the same numbers for the same seed, everywhere.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

@Suite("case counts") struct CaseCountsTests {
    @Test("each case has a place of its own")
    func places() {
        var counts = CaseCounts<AuditEvent.Kind>()
        for (number, kind) in AuditEvent.Kind.allCases.enumerated() {
            #expect(counts[kind] == 0)
            counts[kind] += number + 1
        }
        #expect(AuditEvent.Kind.allCases.map { counts[$0] } == Array(1...AuditEvent.Kind.allCases.count))
    }
}
