import Addresses
import Calls
import Configuration
import CoreSamples
import Firewall
import ONCRPC
import Policy
import Testing

@Suite("rate") struct RateTests {
    @Test("the call beyond the burst is dropped and counted; UDP and TCP have buckets of their own")
    func burst() {
        let bench = Bench.started([.sample()], settings: Settings().with { $0.limits.callsPerSecond = 5 })
        for xid in 0..<20 { #expect(bench.ask(.null(.v2), from: .named, xid: UInt32(xid)).count == 1) }
        #expect(bench.ask(.null(.v2), from: .named) == [])
        #expect(bench.closed == [])
        #expect(bench.ask(.null(.v2), from: .named.over(.tcp)).count == 1)
        #expect(bench.ask(.null(.v2), from: .from("10.1.2.4")).count == 1)
        #expect(bench.denials == [.rate])
        bench.advance(by: .milliseconds(200))
        #expect(bench.ask(.null(.v2), from: .named).count == 1)
    }

    @Test("a connection that asks too fast is closed")
    func tcp() {
        let bench = Bench.started([.sample()], settings: Settings().with { $0.limits.callsPerSecond = 1 })
        for xid in 0..<5 { bench.call(.null(.v2), from: .named.over(.tcp), xid: UInt32(xid)) }
        #expect((bench.replies.count, bench.closed, bench.denials) == (4, [1], [.rate]))
    }

    @Test("clients that rules name are told apart within a /64: all that boot at once are answered")
    func namedNeighbours() {
        let bench = Bench.started([.sample()])
        for client in 1...300 {
            let peer = Peer.from("2001:db8:1::\(String(client, radix: 16))")
            for xid in 0..<UInt32(4) {
                #expect(bench.ask(.address(of: .mountd), from: peer, xid: xid).count == 1)
            }
        }
        #expect(bench.loop.warden.counters.denied == [:])
        // The same holds for their log lines: no line is suppressed because of another client.
        #expect(bench.events(.permitted).count == 1200)
    }

    @Test(
        "a stranger of the same /64 takes nothing of a named client's rate, nor of what it took before it was named",
        arguments: [Transport.udp, .tcp])
    func strangeNeighbour(transport: Transport) {
        let rules = [Rule.sample(from: ["2001:db8:1::7"])]
        let bench = Bench.started(rules, settings: Settings().with { $0.quarantine = nil })
        for xid in 0..<1000 { bench.call(.null(.v4), from: .from("2001:db8:1::8", transport), xid: UInt32(xid)) }
        for xid in 0..<200 {
            let named = Peer.from("2001:db8:1::7", transport)
            #expect(bench.ask(.null(.v4), from: named, xid: UInt32(xid)).count == 1)
        }
        bench.reload([.sample()])
        #expect(bench.ask(.null(.v4), from: .from("2001:db8:1::8", transport)).count == 1)
    }

    @Test("this host is answered however much it asks")
    func local() {
        let bench = Bench.started(settings: Settings().with { $0.limits.callsPerSecond = 1 })
        for xid in 0..<500 { bench.call(.port(of: .status), from: .loopback, xid: UInt32(xid)) }
        #expect((bench.replies.count, bench.denials) == (500, []))
    }
}
