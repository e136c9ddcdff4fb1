import Addresses
import Calls
import Clock
import Configuration
import CoreSamples
import Firewall
import ONCRPC
import Policy
import TestSupport
import Testing

@testable import Exchanges
@testable import Watch

@Suite("quarantine") struct QuarantineTests {
    private func denied(
        _ count: Int, from peer: Peer, settings: Settings = Settings(), every: Duration = .milliseconds(100)
    ) -> Bench {
        let bench = Bench.started([.sample()], settings: settings)
        for number in 0..<count {
            bench.call(.port(of: .unheardOf), from: peer, xid: UInt32(number))
            bench.advance(by: every)
        }
        return bench
    }

    @Test("a stranger is quarantined at the twentieth denial within a minute, and released after ten")
    func stranger() {
        #expect(denied(19, from: .stranger).kernel.quarantined.isEmpty)
        let bench = denied(20, from: .stranger)
        #expect(bench.kernel.quarantined.keys.map { $0 } == [Peer.stranger.address])
        let event = bench.events(.quarantined)
        #expect(event.count == 1 && event.first?.client == Peer.stranger.address && event.first?.count == 20)
        #expect(event.first?.transport == .udp && event.first?.window == .seconds(600))
        bench.advance(by: .seconds(599))
        #expect(bench.events(.released).isEmpty)
        bench.advance(by: .seconds(1))
        #expect(bench.events(.released).map(\.client) == [Peer.stranger.address])
        #expect(bench.kernel.quarantined.isEmpty)
        #expect(bench.isQuiet)
    }

    @Test("denials spread over more than the window don't add up")
    func slow() {
        #expect(denied(20, from: .stranger, every: .seconds(3)).kernel.quarantined.count == 1)
        #expect(denied(100, from: .stranger, every: .milliseconds(3600)).kernel.quarantined.isEmpty)
    }

    @Test(
        "a client that a rule names is warned about, never quarantined on UDP evidence",
        arguments: [(Transport.udp, false, 0, 0), (.tcp, false, 1, 0), (.udp, true, 0, 0), (.tcp, true, 0, 1)])
    func named(transport: Transport, includesListed: Bool, warnings: Int, quarantined: Int) {
        let bench = denied(
            25, from: .named.over(transport),
            settings: Settings().with { $0.quarantine?.includesListed = includesListed })
        #expect(bench.events(.enumeration).count { $0.detail?.contains("a rule names it") == true } == warnings)
        #expect(bench.kernel.quarantined.count == quarantined)
        #expect(bench.events(.quarantined).count == quarantined)
    }

    @Test("this host is never quarantined, and what isn't the client's doing doesn't count")
    func spared() {
        #expect(denied(100, from: .loopback.over(.tcp)).kernel.quarantined.isEmpty)
        let bench = Bench.started(
            [.sample()], settings: Settings().with { $0.quarantine?.includesListed = true }, registering: [])
        bench.rpcbind.isDown = true
        for number in 0..<50 {
            bench.call(.port(of: .mountd), from: .named.over(.tcp), xid: UInt32(number))
            bench.advance(by: .milliseconds(200))
        }
        #expect(!bench.denials.isEmpty && bench.kernel.quarantined.isEmpty)
    }

    @Test("`quarantine: false` quarantines nobody, and a reload to it releases all")
    func off() {
        #expect(
            denied(50, from: .stranger, settings: Settings().with { $0.quarantine = nil }).kernel.quarantined.isEmpty)
        let bench = denied(20, from: .stranger)
        bench.reload([.sample()], settings: Settings().with { $0.quarantine = nil })
        #expect(bench.kernel.quarantined.isEmpty)
        #expect(bench.events(.released).map(\.detail) == ["quarantine is off"])
    }

    @Test("a reload that names the client releases it")
    func named() {
        let bench = denied(20, from: .stranger)
        let address = Peer.stranger.address
        bench.reload([.sample(from: ["\(address)/32"])])
        #expect(bench.kernel.quarantined.isEmpty && bench.events(.released).count == 1)
    }

    @Test("datagrams forged in the names of many clients don't make a stranger forgotten that asks on and on")
    func forgottenByForgers() {
        let bench = Bench.started([.sample(from: ["10.0.0.0/8"])])
        for denial in UInt32(0)..<20 {
            bench.call(.port(of: .unheardOf), from: .stranger.over(.tcp), xid: denial)
            for number in (denial * 500)..<(denial + 1) * 500 {
                let forged = Peer.from("10.9.\(number / 250).\(number % 250 + 1)")
                bench.deliver(IncomingCall(.port(of: .unheardOf), from: forged, xid: number))
            }
        }
        #expect(bench.loop.warden.watch.denialSourceCount == DenialLog.sourcesMax)
        #expect(bench.kernel.quarantined.keys.map { $0 } == [Peer.stranger.address])
    }

    @Test("the operator's release is logged, however many quarantines end at that moment")
    func releaseInFlood() {
        let bench = Bench.started([.sample()])
        for number in 0..<240 { quarantine("198.51.100.\(number)", bench) }
        bench.advance(by: .seconds(599))
        bench.advance(by: .seconds(1))
        #expect((200..<240).contains(bench.events(.released).count) && bench.kernel.quarantined.isEmpty)
        quarantine("203.0.113.9", bench)
        bench.handle { _ = $0.release(client: ip("203.0.113.9"), at: $1, into: &$2) }
        #expect(bench.events(.released).last?.detail == "by the operator")
    }

    private func quarantine(_ client: String, _ bench: Bench) {
        for xid in 0..<20 { bench.call(.port(of: .unheardOf), from: .from(client), xid: UInt32(xid)) }
        #expect(bench.kernel.quarantined[ip(client)] != nil)
    }

    @Test("the operator releases, and what was done is forgiven")
    func released() {
        let bench = denied(20, from: .stranger)
        var answers: [Bool] = []
        for _ in 0..<2 {
            bench.handle { answers.append($0.release(client: Peer.stranger.address, at: $1, into: &$2)) }
        }
        #expect(answers == [true, false])
        #expect(bench.kernel.quarantined.isEmpty)
        #expect(bench.events(.released).map(\.detail) == ["by the operator"])
        for number in 0..<19 { bench.call(.port(of: .nfs), from: .stranger, xid: UInt32(number)) }
        #expect(bench.kernel.quarantined.isEmpty)
        bench.call(.port(of: .nfs), from: .stranger, xid: 99)
        #expect(bench.kernel.quarantined.count == 1)
    }

    @Test("outlives a flush of the table, and a restart, with the time that is left", arguments: [false, true])
    func survives(isRestart: Bool) {
        var bench = denied(20, from: .stranger)
        bench.advance(by: .seconds(100))
        let end = bench.kernel.quarantined[Peer.stranger.address]
        if isRestart {
            let next = Bench([.sample()])
            (next.kernel, next.now) = (bench.kernel, bench.now)
            next.rpcbind.registrations = .typical
            next.start()
            bench = next
        } else {
            bench.kernel.flush()
            bench.handle { $0.tableChanged([.overrun], at: $1, into: &$2) }
            bench.advance(by: .seconds(1))
        }
        let now = bench.kernel.quarantined[Peer.stranger.address]
        #expect(now == end)
        #expect(bench.loop.warden.watch.denialEntries(since: .zero).contains { !$0.isQuarantined } == false)
        bench.advance(by: .seconds(600))
        #expect(bench.kernel.quarantined.isEmpty && bench.events(.released).count == 1)
    }

    @Test(
        "a restart under a policy that names the client, or without quarantine, releases it", arguments: [false, true])
    func restartedWithout(isOff: Bool) {
        let old = denied(20, from: .stranger)
        #expect(old.kernel.quarantined.count == 1)
        let address = Peer.stranger.address
        let bench = Bench(
            isOff ? [.sample()] : [.sample(from: ["\(address)/32"])],
            settings: Settings().with { if isOff { $0.quarantine = nil } })
        (bench.kernel, bench.now) = (old.kernel, old.now)
        bench.rpcbind.registrations = .typical
        bench.start()
        #expect(bench.kernel.quarantined.isEmpty && bench.kernel.shape != nil)
    }

    @Test("a full house denies a named client, and doesn't hold it against it")
    func fullHouse() {
        let bench = Bench.started(
            [.sample()],
            settings: Settings().with {
                $0.limits.callsPerSecond = 1_000_000
                $0.quarantine?.includesListed = true
            })
        bench.holdsQuestions = true
        for xid in 0..<UInt32(Exchanges.callsPerClientMax + 100) {
            bench.call(.port(of: .mountd), from: .named.over(.tcp), xid: xid)
        }
        #expect(bench.denials.count == 100)
        #expect(bench.kernel.quarantined.isEmpty && bench.events(.quarantined).isEmpty)
    }

    @Test("the kernel's set has room for all, and for those whose time is up until it sweeps")
    func room() {
        #expect(Settings().tableShape.quarantinesMax > Settings.Quarantine.clientsMax + 1000)
    }

    @Test("in observe mode it says what it would do")
    func observes() {
        let bench = denied(20, from: .stranger, settings: .observing)
        #expect(bench.events(.quarantined).map(\.isEnforced) == [false])
        #expect(bench.kernel.shape?.observes == true)
    }

    @Test("who has a whole /64 is one source, and doesn't fill the kernel's set with it")
    func subnet() {
        let bench = Bench.started([.sample()], settings: Settings().with { $0.limits.callsPerSecond = 1_000_000 })
        for number in 0..<500 {
            bench.call(.port(of: .nfs), from: .stranger("2001:db8:bad::\(String(number + 1, radix: 16))"))
        }
        #expect(bench.loop.warden.watch.denialEntries(since: .zero).count == 1)
        #expect(bench.kernel.quarantined.count == DenialLog.quarantinedOfSourceMax)
    }

    @Test("findings reach the log whatever the source's denials have swallowed")
    func logged() {
        let bench = Bench.started(
            [.sample()],
            settings: Settings().with {
                $0.limits.callsPerSecond = 1_000_000
                $0.quarantine?.after = 1000
            })
        for number in 0..<1000 { bench.call(.dump(.v2), from: .stranger, xid: UInt32(number)) }
        #expect(bench.events(.denied).count < 1000)
        #expect(bench.events(.quarantined).count == 1 && bench.events(.enumeration).count == 1)
    }

    @Test("an order of before the quarantine forgives nothing that led to it")
    func olderOrder() {
        let bench = denied(20, from: .stranger)
        let source = DenialLog.Source(Peer.stranger.address, isListed: false)
        var isLifted = true
        bench.handle {
            isLifted = $0.release(
                client: Peer.stranger.address, order: Bench.startOfTime + .seconds(-60), at: $1, into: &$2)
        }
        #expect(!isLifted && bench.kernel.quarantined.count == 1)
        #expect(bench.loop.warden.watch.denials[source]?.episodeCount == 20)
    }
}
