import Addresses
import AuditTrail
import Calls
import Clock
import Configuration
import CoreSamples
import Firewall
import ONCRPC
import Policy
import Portmapper
import TestSupport
import Testing

@testable import Gate
@testable import Warden

@Suite("counters") struct CounterTests {
    private static func outcome(
        _ decision: CallOutcome.Decision, _ call: PortmapperCall?, _ transport: Transport,
        _ reason: DenialReason? = nil
    ) -> CallOutcome { CallOutcome(decision, call?.procedureName, over: transport, reason) }

    @Test("every call is counted once, by decision, reason, procedure and transport")
    func outcomes() {
        let bench = Bench.started([.sample(lists: true)])
        bench.call(.port(of: .mountd), from: .named)
        bench.call(.port(of: .mountd), from: .named, xid: 8)
        bench.call(.port(of: .nfs), from: .named.over(.tcp))
        bench.call(.dump(.v4), from: .named)
        bench.call(.null(.v2), from: .stranger)
        bench.deliver(IncomingCall(bytes: [1, 2, 3], from: .named))
        bench.deliver(IncomingCall(bytes: [1, 2, 3], from: .stranger.over(.tcp)))
        bench.handle { $0.recordRefused(.named.over(.tcp), .endless(limit: 1), at: $1, into: &$2) }
        #expect(
            bench.loop.warden.counters.outcomes == [
                Self.outcome(.permitted, .port(of: .mountd), .udp): 2,
                Self.outcome(.denied, .port(of: .nfs), .tcp, .noRule): 1,
                Self.outcome(.denied, .dump(.v4), .udp, .listOverUDP): 1,
                Self.outcome(.denied, .null(.v2), .udp, .stranger): 1,
                Self.outcome(.malformed, nil, .udp): 1, Self.outcome(.malformed, nil, .tcp): 2,
            ])
    }

    @Test("what came to light later is counted once too")
    func lateDenial() {
        let bench = Bench.started(
            [.sample()], registering: RPCB.everywhere(.mountd, 3, port: 5000, owner: "1000"))
        bench.call(.port(of: .mountd), from: .named)
        #expect(
            bench.loop.warden.counters.outcomes == [Self.outcome(.denied, .port(of: .mountd), .udp, .untrustedOwner): 1]
        )
    }

    @Test("observe mode's answers are told apart")
    func observed() {
        let bench = Bench.started([.sample()], settings: .observing)
        bench.call(.port(of: .nfs), from: .named)
        bench.call(.port(of: .mountd), from: .named)
        #expect(
            bench.loop.warden.counters.outcomes == [
                Self.outcome(.observed, .port(of: .nfs), .udp, .noRule): 1,
                Self.outcome(.permitted, .port(of: .mountd), .udp): 1,
            ])
    }

    @Test("a duplicate has no outcome of its own")
    func duplicate() {
        let bench = Bench.started([.sample()])
        bench.holdsQuestions = true
        bench.call(.port(of: .mountd), from: .named)
        bench.call(.port(of: .mountd), from: .named)
        bench.answerAll()
        #expect(bench.loop.warden.counters.outcomes.values.reduce(0, +) == 1)
        #expect(bench.loop.warden.counters.duplicates == 1)
    }

    @Test("an answer's latency is counted from its own question, a failure is no latency")
    func upstream() {
        let bench = Bench.started([.sample()])
        bench.advance(by: .seconds(1))
        bench.holdsQuestions = true
        let before = bench.loop.warden.counters.upstreamLatency
        bench.call(.port(of: .mountd), from: .named)
        bench.now = bench.now + .milliseconds(3)
        // The second question waits until the first is answered, and is asked then.
        bench.call(.port(of: .mountd), from: .named, xid: 8)
        bench.now = bench.now + .milliseconds(4)
        bench.answerOne()
        bench.now = bench.now + .microseconds(200)
        bench.answerOne()
        let after = bench.loop.warden.counters.upstreamLatency
        #expect(after.sum - before.sum == .microseconds(7200))
        let added = zip(after.counts, before.counts).map { $0 - $1 }
        #expect(added == [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0])
        bench.call(.port(of: .mountd), from: .named, xid: 9)
        bench.loseAll()
        #expect(bench.loop.warden.counters.upstreamLatency == after)
        #expect(bench.loop.warden.counters.upstreamFailures == 1)
    }

    @Test("a commit's latency is counted, and a refused one's too")
    func commits() {
        let (settings, rules) = (Settings(), [Rule.sample()])
        var warden = Warden(
            settings: settings, policy: Policy(rules: rules), names: .wellKnown, trustedOwners: ["superuser"])
        var actions: [Action] = []
        warden.flush(at: .zero, into: &actions)
        warden.committed(nil, at: .zero, into: &actions)
        let before = warden.counters.commitLatency
        let begin = Instant(nanoseconds: 5_000_000_000_000)
        for (took, failure) in [
            (Duration.microseconds(30), nil), (.milliseconds(20), CommitFailure(errno: 28, message: "full")),
        ] {
            var actions: [Action] = []
            warden.gate.writer.quarantine(ip("192.0.2.1"), until: begin + .seconds(60))
            warden.flush(at: begin, into: &actions)
            #expect(actions.count == 1)
            warden.committed(failure, at: begin + took, into: &actions)
        }
        #expect(warden.counters.commitLatency.sum - before.sum == .microseconds(20_030))
        #expect(warden.counters.commitLatency.counts.reduce(0, +) == before.counts.reduce(0, +) + 2)
        #expect((warden.counters.commits, warden.counters.commitFailures) == (2, 1))
    }

    @Test("events are counted, whether or not a rate limit swallows them")
    func events() {
        let bench = Bench.started([.sample()])
        let count = 2 * AuditLimiter.linesPerSecondPerClient * AuditLimiter.burstSeconds
        for xid in 0..<UInt32(count) { bench.call(.port(of: .mountd), from: .loopback, xid: xid) }
        #expect(bench.events(.permitted).count < count)
        #expect(bench.loop.warden.counters.events[.permitted] == count)
    }

    @Test("gauges tell what there is")
    func gauges() {
        let bench = Bench.started([.sample(), .sample("always", to: [.nfs], open: .always)])
        bench.call(.port(of: .mountd), from: .named)
        let gauges = bench.loop.warden.gauges(at: bench.now)
        #expect(gauges.isTableInPlace && gauges.isRpcbindUp == true && gauges.isEnforcing)
        #expect(gauges.registrations == [RPCB].typical.count)
        #expect((gauges.guarded, gauges.grants, gauges.callsUnderWay) == (6, 1, 0))
        #expect(gauges.standing == 4)
        #expect(gauges.needsRpcbind)
    }

    @Test("a gateway whose policy is about its servers alone needs no rpcbind, and is told of the one that it has")
    func gatewayWithoutRpcbind() {
        func needs(_ bench: Bench) -> Bool { bench.loop.warden.gauges(at: bench.now).needsRpcbind }
        let rule = ServerTests.rule(at: .servers(["filer1"]))
        #expect(!needs(Bench([rule], settings: ServerTests.settings)))
        #expect(needs(Bench([rule, .sample()], settings: ServerTests.settings)))
        #expect(needs(Bench()))
        #expect(needs(ServerTests.bench()), "it has one")
    }
}
