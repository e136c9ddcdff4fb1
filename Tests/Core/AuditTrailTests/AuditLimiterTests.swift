import Addresses
import AuditTrail
import Clock
import CoreSamples
import Firewall
import ONCRPC
import Policy
import TestSupport
import Testing

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

    @Test("forged sources take no room of calls and findings over TCP, nor do packets that the kernel dropped")
    func transports() {
        var limiter = AuditLimiter()
        func admits(_ kind: AuditEvent.Kind, _ client: UInt32, _ transport: Transport?) -> Bool {
            limiter.admits(kind, of: .v4(client), isListed: false, over: transport, at: at(0))
        }
        for client in 0..<UInt32(10_000) {
            _ = admits(.denied, client, .udp)
            _ = admits(.probed, client, .tcp)
            _ = admits(.enumeration, client, .udp)
            _ = admits(.quarantined, client, nil)
        }
        #expect(!admits(.denied, 20_000, .udp) && !admits(.probed, 20_000, .tcp) && !admits(.released, 20_000, nil))
        #expect(
            admits(.denied, 20_000, .tcp) && admits(.enumeration, 20_000, .tcp) && admits(.quarantined, 20_000, .tcp))
        // What is over TCP is bounded as well.
        #expect((0..<10_000).count { admits(.denied, 30_000 + $0, .tcp) } == 4999)
        #expect((0..<1000).count { admits(.quarantined, $0, .tcp) } == 198)
    }

    @Test("permitted calls, and those beyond the rate, take no line of a denial, however many there are")
    func hiding() {
        var limiter = AuditLimiter()
        for client in 0..<UInt32(100) {
            for _ in 0..<200 {
                for (kind, isOfRate) in [(AuditEvent.Kind.permitted, false), (.denied, true)] {
                    _ = limiter.admits(
                        kind, of: .v4(client), isListed: true, over: .tcp, isOfRate: isOfRate, at: at(0))
                }
            }
        }
        func admits(_ kind: AuditEvent.Kind, at now: Instant = at(0)) -> Bool {
            limiter.admits(kind, of: .v4(1), isListed: true, over: .tcp, at: now)
        }
        #expect(!admits(.permitted) && admits(.denied) && admits(.malformed))
        // Denials are bounded as well, and take no line of other calls.
        #expect((0..<1000).count { _ in admits(.denied) } == 198)
        #expect(admits(.permitted, at: at(2000)))
    }

    @Test("forged packets to guarded ports take no line of their client's calls over TCP")
    func probes() {
        var limiter = AuditLimiter()
        func admits(_ kind: AuditEvent.Kind) -> Bool {
            limiter.admits(kind, of: ip("192.0.2.1"), isListed: true, over: .tcp, at: at(0))
        }
        #expect((0..<1000).count { _ in admits(.probed) } == 200)
        #expect(admits(.permitted) && admits(.denied))
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
        var writtenOver: [RateLimiter.Key: Int] = [:]
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
                // A probe proves its source as little as UDP does.
                let evidence: Transport = event.kind == .probed || event.transport == .udp ? .udp : .tcp
                let isDenial = event.kind == .denied || event.kind == .malformed
                writtenOver[.everyone(over: evidence, isApart: isDenial), default: 0] += 1
                if let client = event.client {
                    writtenOf[.init(client, evidence, isListed: false, isApart: isDenial), default: 0] += 1
                }
            }
            take(limiter.summary(at: at(time)))
        }
        take(limiter.lastSummary(at: at(time)))
        #expect(written.merging(summed, uniquingKeysWith: +) == events)
        let seconds = Int(time / 1000) + 1
        #expect(writtenOver.count == 4 && writtenOver.values.allSatisfy { $0 <= 500 * (10 + seconds) })
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
                .released, .orphaned, .unguardable, .fleetConnected, .fleetLost, .policyRefused,
            ]
            #expect(rated.contains(kind) ? written <= 200 : written == 1000)
        }
    }
}

extension AuditLimiter {
    fileprivate mutating func admits(_ event: AuditEvent, isListed: Bool = false, at now: Instant) -> Bool {
        admits(event.kind, of: event.client, isListed: isListed, over: event.transport, at: now)
    }
}
