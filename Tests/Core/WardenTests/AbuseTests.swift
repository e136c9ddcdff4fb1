import Firewall
import ONCRPC
import Policy
import Portmapper
import Testing

@testable import Warden

extension Peer {
    static func stranger(_ address: String, _ transport: Transport = .udp) -> Peer {
        var peer = Peer.stranger.over(transport)
        peer.address = ip(address)
        return peer
    }
}

@Suite("enumeration") struct EnumerationTests {
    private func enumerated(_ calls: [PortmapperCall], from peer: Peer = .stranger, xid: UInt32 = 5) -> [AuditEvent] {
        var bench = Bench.started([.sample()])
        for (index, call) in calls.enumerated() { bench.call(call, from: peer, xid: xid + UInt32(index)) }
        bench.advance(by: Warden.watch)
        return bench.events(.enumeration)
    }

    @Test("a listing, four programs, four versions, statistics, or remote calls are one event")
    func found() {
        let walks: [[PortmapperCall]] = [
            [.dump(.v2)], [.getStatistics],
            [.callIt(.v2, RemoteCall(program: .mountd, version: 3, procedure: 0))],
            [.mountd, .nfs, .status, .quota].map { .port(of: $0) },
            (1...4).map { .port(of: .mountd, version: $0) },
        ]
        for calls in walks {
            let events = enumerated(calls)
            #expect(events.count == 1, "\(calls)")
            #expect(events.first?.client == Peer.stranger.address && events.first?.count == calls.count)
        }
    }

    @Test("a mount by somebody who may not is none")
    func mount() {
        #expect(enumerated([.port(of: .nfs), .port(of: .mountd), .port(of: .mountd), .null(.v2)]) == [])
        let mountd = PortmapperCall.getAddress(.v4, RPCB(.mountd, 3, .tcp, port: 1))
        #expect(enumerated([mountd, .port(of: .nfs)]) == [])
    }

    @Test("the event names the programs and reasons, and comes once, however long it goes on")
    func once() {
        var bench = Bench.started([.sample()], settings: Settings().with { $0.quarantine = nil })
        let programs: [Program] = [.mountd, .nfs, .status, .quota, .nfsACL]
        for round in 0..<10 {
            for program in programs { bench.call(.port(of: program), from: .stranger, xid: UInt32(round)) }
            bench.advance(by: .seconds(1))
        }
        let events = bench.events(.enumeration)
        #expect(events.count == 1)
        #expect(
            events.first?.detail == "programs 100003 100005 100011 100024 100227; reasons stranger"
                && events.first?.transport == .udp)
        // After a minute of quiet it is another episode.
        bench.advance(by: .seconds(61))
        bench.forget()
        bench.call(.dump(.v2), from: .stranger)
        bench.advance(by: Warden.watch)
        #expect(bench.events(.enumeration).first?.detail?.hasPrefix("reasons") == true)
    }

    @Test("a client that a rule names is told of as well; this host never is")
    func named() {
        #expect(enumerated([.dump(.v2)], from: .named.over(.tcp)).count == 1)
        #expect(enumerated([.dump(.v2), .getStatistics], from: .loopback).isEmpty)
    }

    private static let timeXID = UInt32(Bench.startOfTime.milliseconds / 1000) ^ 0x3a_b1c2

    /// Calls, their first transaction id, over what, and what they look like.
    static let tools: [([PortmapperCall], UInt32, Transport, String?)] = [
        ([.null(.v2), .dump(.v2)], 0x72FE_1D13, .tcp, "nmap's version scan"),
        ([.dump(.v3), .dump(.v2), .getStatistics], 12_345_678, .udp, "metasploit's portmap_amp"),
        ([.dump(.v2)], 1, .udp, "an Internet survey (UDP DUMP)"),
        ([.dump(.v2)], 77_777, .tcp, "nmap's rpcinfo script, or the like"),
        ([.dump(.v4), .dump(.v3), .dump(.v2)], 77_777, .tcp, "nmap's rpcinfo script, or the like"),
        ([.dump(.v4)], 77_777, .tcp, "rpcinfo"),
        ([.dump(.v2)], timeXID, .udp, "rpcinfo"),
        ([.getStatistics], 5, .tcp, "rpcinfo"),
        ([.port(of: .portmapper)], 5, .tcp, "rpcinfo"),
        ([.port(of: .nfs, version: 0)], timeXID, .udp, "rpcinfo"),
        ([.getAddress(.v4, RPCB(.mountd, 3, .tcp, port: 1))], timeXID, .udp, "showmount"),
        ((0..<9).map { .port(of: Program(100_000 + $0 + 1)) }, 9, .udp, "a walk through program numbers"),
        ((1...4).map { .port(of: .mountd, version: $0) }, 5, .tcp, nil),
    ]

    @Test("known tools are recognised by the marks that they can't help leaving", arguments: tools)
    func tool(calls: [PortmapperCall], xid: UInt32, transport: Transport, tool: String?) {
        let detail = enumerated(calls, from: .stranger.over(transport), xid: xid).first?.detail
        #expect(detail?.contains("looks like") == (tool != nil), "\(detail ?? "")")
        if let tool { #expect(detail?.hasSuffix("looks like \(tool)") == true, "\(detail ?? "")") }
    }

    @Test("nmap's probe has a version that nobody serves")
    func nmapVersion() {
        var bench = Bench.started([.sample()])
        bench.deliver(
            IncomingCall(
                bytes: MalformedTests.call(version: 104_316, procedure: 0), from: .stranger.over(.tcp)))
        bench.advance(by: Warden.watch)
        #expect(bench.events(.enumeration).first?.detail?.hasSuffix("looks like nmap's version scan") == true)
    }

    @Test("a flood of sources that each list once is bounded, and swallowed lines are counted")
    func flood() {
        var bench = Bench.started([.sample()])
        for number in 0..<10_000 {
            bench.call(.dump(.v2), from: .stranger("198.18.\(number / 256).\(number % 256)"))
        }
        #expect(bench.warden.suspects.count <= 1024)
        #expect(bench.warden.denials.count == DenialLog.sourcesMax)
        bench.advance(by: Warden.watch)
        #expect(bench.events(.enumeration).count <= 200)
    }
}

@Suite("quarantine") struct QuarantineTests {
    private func denied(
        _ count: Int, from peer: Peer, settings: Settings = Settings(), every: Duration = .milliseconds(100)
    ) -> Bench {
        var bench = Bench.started([.sample()], settings: settings)
        for number in 0..<count {
            bench.call(.port(of: .unheardOf), from: peer, xid: UInt32(number))
            bench.advance(by: every)
        }
        return bench
    }

    @Test("a stranger is quarantined at the twentieth denial within a minute, and released after ten")
    func stranger() {
        #expect(denied(19, from: .stranger).kernel.quarantined.isEmpty)
        var bench = denied(20, from: .stranger)
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
        var bench = Bench.started(
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
        var bench = denied(20, from: .stranger)
        bench.reload([.sample()], settings: Settings().with { $0.quarantine = nil })
        #expect(bench.kernel.quarantined.isEmpty)
        #expect(bench.events(.released).map(\.detail) == ["quarantine is off"])
    }

    @Test("a reload that names the client releases it")
    func named() {
        var bench = denied(20, from: .stranger)
        let address = Peer.stranger.address
        bench.reload([.sample(from: ["\(address)/32"])])
        #expect(bench.kernel.quarantined.isEmpty && bench.events(.released).count == 1)
    }

    @Test("the operator releases, and what was done is forgiven")
    func released() {
        var bench = denied(20, from: .stranger)
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
            var next = Bench([.sample()])
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
        #expect(bench.warden.denialEntries(since: .zero).contains { !$0.isQuarantined } == false)
        bench.advance(by: .seconds(600))
        #expect(bench.kernel.quarantined.isEmpty && bench.events(.released).count == 1)
    }

    @Test(
        "a restart under a policy that names the client, or without quarantine, releases it", arguments: [false, true])
    func restartedWithout(isOff: Bool) {
        let old = denied(20, from: .stranger)
        #expect(old.kernel.quarantined.count == 1)
        let address = Peer.stranger.address
        var bench = Bench(
            isOff ? [.sample()] : [.sample(from: ["\(address)/32"])],
            settings: Settings().with { if isOff { $0.quarantine = nil } })
        (bench.kernel, bench.now) = (old.kernel, old.now)
        bench.rpcbind.registrations = .typical
        bench.start()
        #expect(bench.kernel.quarantined.isEmpty && bench.kernel.shape != nil)
    }

    @Test("a full house denies a named client, and doesn't hold it against it")
    func fullHouse() {
        var bench = Bench.started(
            [.sample()],
            settings: Settings().with {
                $0.limits.callsPerSecond = 1_000_000
                $0.quarantine?.includesListed = true
            })
        bench.holdsQuestions = true
        for xid in 0..<UInt32(Warden.exchangesPerClientMax + 100) {
            bench.call(.port(of: .mountd), from: .named.over(.tcp), xid: xid)
        }
        #expect(bench.denials.count == 100)
        #expect(bench.kernel.quarantined.isEmpty && bench.events(.quarantined).isEmpty)
    }

    @Test("the kernel's set has room for all, and for those whose time is up until it sweeps")
    func room() {
        #expect(Settings().tableShape.quarantinesMax > QuarantineList.clientsMax + 1000)
    }

    @Test("in observe mode it says what it would do")
    func observes() {
        let bench = denied(20, from: .stranger, settings: .observing)
        #expect(bench.events(.quarantined).map(\.isEnforced) == [false])
        #expect(bench.kernel.shape?.observes == true)
    }

    @Test("who has a whole /64 is one source, and doesn't fill the kernel's set with it")
    func subnet() {
        var bench = Bench.started([.sample()], settings: Settings().with { $0.limits.callsPerSecond = 1_000_000 })
        for number in 0..<500 {
            bench.call(.port(of: .nfs), from: .stranger("2001:db8:bad::\(String(number + 1, radix: 16))"))
        }
        #expect(bench.warden.denialEntries(since: .zero).count == 1)
        #expect(bench.kernel.quarantined.count == DenialLog.quarantinedOfSourceMax)
    }

    @Test("findings reach the log whatever the source's denials have swallowed")
    func logged() {
        var bench = Bench.started(
            [.sample()],
            settings: Settings().with {
                $0.limits.callsPerSecond = 1_000_000
                $0.quarantine?.after = 1000
            })
        for number in 0..<1000 { bench.call(.dump(.v2), from: .stranger, xid: UInt32(number)) }
        #expect(bench.events(.denied).count < 1000)
        #expect(bench.events(.quarantined).count == 1 && bench.events(.enumeration).count == 1)
    }
}

@Suite("denial log") struct DenialLogTests {
    private static func incoming(_ address: String, _ program: UInt32 = 100_003) -> IncomingCall {
        IncomingCall(
            peer: .stranger(address), xid: 1, byteCount: 56, content: .call(.port(of: Program(program))))
    }

    private static func add(
        _ log: inout DenialLog, _ address: String, _ program: UInt32 = 100_003, isNamed: Bool = false, at second: Int64
    ) {
        _ = log.add(
            incoming(address, program), .stranger, isNamed: isNamed, within: .seconds(60),
            at: Instant(nanoseconds: second * 1_000_000_000), wallClock: Bench.startOfTime)
    }

    @Test("who asks on and on stays, whoever floods with addresses that are seen once")
    func flood() {
        var log = DenialLog()
        for second in 0..<10 { Self.add(&log, "192.0.2.1", at: Int64(second)) }
        Self.add(&log, "192.0.2.9", isNamed: true, at: 10)
        for number in 0..<20_000 {
            Self.add(&log, "198.\(18 + number / 65_536).\(number / 256 % 256).\(number % 256)", at: 20)
        }
        #expect(log.count == DenialLog.sourcesMax)
        let kept = Set(log.records(since: .zero).map { "\($0.client)" })
        #expect(kept.contains("192.0.2.1") && kept.contains("192.0.2.9"))
    }

    @Test("the latest first, from a time on, with what was asked")
    func listed() {
        var log = DenialLog()
        Self.add(&log, "192.0.2.1", at: 10)
        Self.add(&log, "192.0.2.1", 100_005, at: 30)
        Self.add(&log, "192.0.2.2", at: 20)
        let records = log.records(since: .zero)
        #expect(records.map { "\($0.client)" } == ["192.0.2.1", "192.0.2.2"])
        #expect((records[0].count, records[0].programs, records[0].reasons) == (2, [.nfs, .mountd], [.stranger]))
        #expect(log.records(since: Instant(nanoseconds: 25_000_000_000)).count == 1)
    }

    @Test("the foremost are those denied most within the last minute, then those denied last; no more than asked for")
    func foremost() {
        var log = DenialLog()
        func add(_ client: String, _ count: Int, at second: Int64) {
            for _ in 0..<count { Self.add(&log, client, at: second) }
        }
        add("192.0.2.1", 9, at: 10)
        add("192.0.2.1", 2, at: 500)
        add("192.0.2.2", 5, at: 490)
        add("192.0.2.3", 900, at: 20)
        add("192.0.2.4", 1, at: 30)
        for number in 0..<50 { add("198.18.0.\(number)", 1, at: 15) }
        let foremost = { (limit: Int) in
            log.foremost(limit, activeSince: Instant(nanoseconds: 440_000_000_000)).map { "\($0.client)" }
        }
        #expect(foremost(4) == ["192.0.2.2", "192.0.2.1", "192.0.2.4", "192.0.2.3"])
        #expect(foremost(1) == ["192.0.2.2"] && foremost(0) == [] && foremost(100).count == 54)
    }

    @Test("programs beyond the slots are counted, and the listing keeps those of earlier episodes")
    func programs() {
        var log = DenialLog()
        for program in 1...40 { Self.add(&log, "192.0.2.1", UInt32(program), at: 10) }
        let record = log.records(since: .zero)[0]
        #expect((record.programs.count, record.episodeProgramCount, record.episodeOverflow) == (32, 40, 8))
        Self.add(&log, "192.0.2.1", 7, at: 1000)
        let later = log.records(since: .zero)[0]
        #expect((later.programs.count, later.episodePrograms, later.episodeCount) == (32, [Program(7)], 1))
    }
}

@Suite("sliding count") struct SlidingCountTests {
    @Test("counts each event for the window at least, and little longer", arguments: 0..<20 as Range<UInt64>)
    func window(seed: UInt64) {
        var random = SeededGenerator(state: seed)
        var count = SlidingCount()
        var times: [Int64] = []
        var now: Int64 = 5_000_000_000
        for _ in 0..<300 {
            now += Int64.random(in: 0..<2_000_000_000, using: &random)
            times.append(now)
            let counted = count.add(at: Instant(nanoseconds: now), within: .seconds(15))
            let least = times.count { now - $0 <= 15_000_000_000 }
            let most = times.count { now - $0 <= 16_000_000_000 }
            #expect((least...most).contains(counted))
        }
    }
}
