import Calls
import Configuration
import CoreSamples
import Firewall
import ONCRPC
import Policy
import TestSupport
import Testing

@testable import Watch

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
        table.opened(id, from: ip(client), isLocal: local, isListed: named, at: at(time))
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
        // Each connection is accepted before the previous one's call is read.
        for id in 1...UInt64(16) { #expect(Self.open(&table, id, "10.1.2.3", named: true, at: Int64(id)) == []) }
        #expect(Self.open(&table, 17, "10.1.2.3", named: true, at: 17) == [17], "eight times its places are the most")
        for id in 1...UInt64(16) {
            table.received(id, isInsideRecord: false, at: at(20))
            table.callBegan(id)
        }
        #expect(table.surplus(at: at(300)) == [])
        table.callEnded(5)
        #expect(Self.open(&table, 18, "10.1.2.3", named: true, at: 301) == [5])
        // A connection beyond the limit is closed once its call has been answered.
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
}
