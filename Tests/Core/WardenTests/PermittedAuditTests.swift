import Calls
import Configuration
import CoreSamples
import Policy
import Portmapper
import Testing

@testable import Journal

@Suite("audit.permitted") struct PermittedAuditTests {
    private static func settings(_ permitted: Settings.Audit.Permitted) -> Settings {
        Settings().with { $0.audit.permitted = permitted }
    }

    private static let rules = [Rule.sample(to: [.mountd, .nfs], lists: true)]

    private func lines(_ bench: Bench) -> Int { bench.events(.permitted).count }

    @Test("all: a line for each call; none: no line; both count all", arguments: [Settings.Audit.Permitted.all, .none])
    func allOrNone(permitted: Settings.Audit.Permitted) {
        let bench = Bench.started(Self.rules, settings: Self.settings(permitted))
        for xid in 1...3 { bench.call(.port(of: .mountd), from: .named, xid: UInt32(xid)) }
        #expect(lines(bench) == (permitted == .all ? 3 : 0))
        #expect(bench.loop.warden.counters.events[.permitted] == 3)
        #expect(bench.loop.warden.counters.permitted == 3 && bench.loop.warden.counters.suppressed == 0)
        #expect(bench.events(.granted).count == 1)
    }

    @Test("first: a line for each client, program and transport of the service; listings have their own")
    func first() {
        let bench = Bench.started(Self.rules, settings: Self.settings(.first))
        let calls: [(PortmapperCall, Peer)] = [
            (.port(of: .mountd), .named), (.port(of: .mountd, .udp), .named), (.port(of: .nfs), .named),
            (.port(of: .mountd), .from("10.1.2.4")), (.port(of: .mountd), .from("2001:db8:1::7")),
            (.port(of: .mountd), .from("2001:db8:1::8")), (.null(.v2), .named), (.dump(.v2), .named.over(.tcp)),
        ]
        for (index, (call, peer)) in calls.enumerated() {
            bench.call(call, from: peer, xid: UInt32(index))
            #expect(lines(bench) == index + 1, "\(call)")
        }
        // Another version, source port and procedure: the client, program and transport of the service are the
        // same.
        bench.call(.port(of: .mountd, version: 1), from: .from("10.1.2.3", .tcp, port: 701), xid: 100)
        for (index, (call, peer)) in calls.enumerated() { bench.call(call, from: peer, xid: UInt32(200 + index)) }
        #expect(lines(bench) == calls.count)
        #expect(bench.loop.warden.counters.events[.permitted] == 2 * calls.count + 1)
        #expect(bench.loop.warden.counters.suppressed == 0)
    }

    @Test("first: the day after there is a line again, and denials are told as ever")
    func dayAfter() {
        let bench = Bench.started(Self.rules, settings: Self.settings(.first))
        bench.call(.port(of: .mountd), from: .named)
        bench.advance(by: FirstPermissions.period - .seconds(1))
        bench.call(.port(of: .mountd), from: .named, xid: 2)
        #expect(lines(bench) == 1)
        bench.advance(by: .seconds(2))
        bench.call(.port(of: .mountd), from: .named, xid: 3)
        #expect(lines(bench) == 2)
        for xid in 4...6 { bench.call(.port(of: .status), from: .named, xid: UInt32(xid)) }
        #expect(bench.events(.denied).count == 3)
    }

    @Test("what the rate swallowed is no first line: the next that finds room is")
    func swallowed() {
        let bench = Bench.started(Self.rules, settings: Self.settings(.first))
        while bench.loop.warden.counters.suppressed == 0 { bench.call(.port(of: .status), from: .named, xid: 1) }
        bench.call(.port(of: .mountd), from: .named, xid: 2)
        #expect(lines(bench) == 0)
        bench.advance(by: .seconds(20))
        bench.call(.port(of: .mountd), from: .named, xid: 3)
        #expect(lines(bench) == 1)
    }

    @Test("a reload changes it, while the daemon runs")
    func reload() {
        let bench = Bench.started(Self.rules)
        bench.call(.port(of: .mountd), from: .named)
        bench.handle {
            $0.policyReplaced(PolicySet(Policy(rules: Self.rules)), settings: Self.settings(.none), at: $1, into: &$2)
        }
        bench.call(.port(of: .mountd), from: .named, xid: 2)
        #expect(lines(bench) == 1)
    }

    @Test("what is remembered is bounded, and those who come again stay")
    func bounded() {
        var first = FirstPermissions()
        let key = { (number: UInt32) in
            FirstPermissions.Key(client: .v4(number), server: 0, program: .mountd, over: .tcp, isListing: false)
        }
        for number in 0..<UInt32(3 * FirstPermissions.entriesMax) {
            let isDue = first.isDue(key(number), at: .zero)
            #expect(isDue)
            first.told(key(number), at: .zero)
            let isDueAgain = first.isDue(key(0), at: .zero)
            #expect(!isDueAgain)
        }
        #expect(first.count <= FirstPermissions.entriesMax)
    }
}
