import AuditTrail
import Calls
import Configuration
import CoreSamples
import Policy
import Testing

@Suite("connections") struct ConnectionTests {
    @Test("a client that mounts a hundred file systems at once, while rpcbind is slow, loses no connection")
    func storm() {
        let bench = Bench.started([.sample()])
        bench.holdsQuestions = true
        let peers = (1...100).map { Peer.from("10.1.2.3", .tcp, port: UInt16($0), channel: UInt64($0)) }
        for start in stride(from: 0, to: 100, by: 16) {
            let accepted = peers[start..<min(start + 16, 100)]
            for peer in accepted { bench.handle { $0.connectionOpened(peer, at: $1, into: &$2) } }
            for peer in accepted {
                bench.call(.port(of: .mountd), from: peer)
                bench.handle { warden, now, _ in
                    warden.connectionReceived(peer.channel, isInsideRecord: false, at: now)
                }
            }
        }
        bench.advance(by: .milliseconds(700))
        #expect(bench.closed == [])
        bench.holdsQuestions = false
        bench.answerAll()
        #expect(Set(bench.replies.map(\.peer)) == Set(peers) && bench.denials == [])
        bench.advance(by: .milliseconds(50))
        #expect(bench.loop.warden.connectionCount == 16)
        #expect(bench.loop.warden.counters.crowdedOut == 84)
    }

    @Test("the Warden closes the connection that is owed most, when all are owed too much")
    func overflow() {
        let bench = Bench.started()
        bench.handle { warden, now, actions in
            warden.connectionOpened(.loopback.over(.tcp), at: now, into: &actions)
            warden.repliesOverflowed(1, into: &actions)
        }
        #expect((bench.closed, bench.loop.warden.counters.crowdedOut) == ([1], 1))
    }

    @Test("the Warden closes idle connections and those that have no place")
    func inWarden() {
        let bench = Bench.started(settings: Settings().with { $0.limits.tcpConnectionsPerClient = 1 })
        for id in 1...2 {
            bench.handle { $0.connectionOpened(.from("192.0.2.1", .tcp, channel: UInt64(id)), at: $1, into: &$2) }
        }
        #expect((bench.closed, bench.loop.warden.connectionCount) == ([2], 1))
        #expect(bench.loop.warden.counters.crowdedOut == 1)
        bench.handle { warden, now, _ in warden.connectionReceived(1, isInsideRecord: true, at: now) }
        bench.advance(by: .seconds(31))
        #expect((bench.closed, bench.loop.warden.connectionCount) == ([2, 1], 0))
        bench.handle { warden, _, _ in warden.connectionClosed(1) }
        #expect(bench.loop.warden.connectionCount == 0)
    }
}
