import Addresses
import AuditTrail
import Calls
import Configuration
import CoreSamples
import Firewall
import ONCRPC
import Policy
import Portmapper
import Testing

@testable import Watch

@Suite("enumeration") struct EnumerationTests {
    private func enumerated(_ calls: [PortmapperCall], from peer: Peer = .stranger, xid: UInt32 = 5) -> [AuditEvent] {
        let bench = Bench.started([.sample()])
        for (index, call) in calls.enumerated() { bench.call(call, from: peer, xid: xid + UInt32(index)) }
        bench.advance(by: Watch.watched)
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
        let bench = Bench.started([.sample()], settings: Settings().with { $0.quarantine = nil })
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
        // After a minute without denials, a new episode begins.
        bench.advance(by: .seconds(61))
        bench.forget()
        bench.call(.dump(.v2), from: .stranger)
        bench.advance(by: Watch.watched)
        #expect(bench.events(.enumeration).first?.detail?.hasPrefix("reasons") == true)
    }

    @Test("an episode that goes on is told again whenever its programs have doubled, with the new ones")
    func goesOn() {
        let bench = Bench.started([.sample()], settings: Settings().with { $0.quarantine = nil })
        for number in UInt32(0)..<60 {
            bench.call(.port(of: Program(300_000 + number)), from: .named.over(.tcp), xid: number)
            bench.advance(by: .seconds(2))
        }
        let told = bench.events(.enumeration).map { ($0.detail ?? "").split(separator: ";")[0].split(separator: " ") }
        #expect(told.map(\.count) == [1 + 5, 1 + 11, 1 + 23, 1 + 32 + 2], "with the words `programs`, `and others`")
        #expect(told.dropFirst(2).first?.last == "300022")
    }

    @Test("a source that has asked for very many programs is told by name in its next episode, too")
    func laterEpisode() {
        let bench = Bench.started([.sample()], settings: Settings().with { $0.quarantine = nil })
        for number in UInt32(0)..<40 { bench.call(.port(of: Program(300_000 + number)), from: .stranger, xid: number) }
        bench.advance(by: .seconds(61))
        bench.forget()
        for number in UInt32(0)..<4 { bench.call(.port(of: Program(400_000 + number)), from: .stranger, xid: number) }
        bench.advance(by: Watch.watched)
        #expect(
            bench.events(.enumeration).map(\.detail) == ["programs 400000 400001 400002 400003; reasons stranger"])
    }

    @Test("permitted calls, however many, hide no denial of their client")
    func hidden() {
        let bench = Bench.started([.sample()])
        let client = Peer.named.over(.tcp)
        for xid in 0..<UInt32(500) {
            bench.call(.null(.v2), from: client, xid: xid)
            if xid < 400 { bench.advance(by: .milliseconds(20)) }
        }
        #expect(bench.events(.permitted).count < 400)
        bench.call(.port(of: .unheardOf), from: client)
        #expect(bench.denials == [.noRule])
    }

    @Test("a client that a rule names is told of as well; this host never is")
    func named() {
        #expect(enumerated([.dump(.v2)], from: .named.over(.tcp)).count == 1)
        #expect(enumerated([.dump(.v2), .getStatistics], from: .loopback).isEmpty)
    }

    /// Calls, their first transaction id, their transport, and the tool that they resemble.
    static let tools: [([PortmapperCall], UInt32, Transport, String?)] = [
        ([.null(.v2), .dump(.v2)], 0x72FE_1D13, .tcp, "nmap's version scan"),
        ([.dump(.v3), .dump(.v2), .getStatistics], 12_345_678, .udp, "metasploit's portmap_amp"),
        ([.dump(.v2)], 1, .udp, "an Internet survey (UDP DUMP), or rpcinfo"),
        ([.dump(.v2)], 77_777, .tcp, "nmap's rpcinfo script, or the like"),
        ([.dump(.v4), .dump(.v3), .dump(.v2)], 77_777, .tcp, "nmap's rpcinfo script, or the like"),
        ([.dump(.v4)], 77_777, .tcp, "rpcinfo"),
        ([.getStatistics], 5, .tcp, "rpcinfo"),
        ([.port(of: .portmapper)], 5, .tcp, "rpcinfo"),
        ([.port(of: .nfs, version: 0)], 5, .udp, "rpcinfo"),
        ([.getAddress(.v4, RPCB(.mountd, 3, .tcp, port: 1))], 5, .udp, "showmount"),
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
        let bench = Bench.started([.sample()])
        bench.deliver(
            IncomingCall(
                bytes: MalformedTests.call(version: 104_316, procedure: 0), from: .stranger.over(.tcp)))
        bench.advance(by: Watch.watched)
        #expect(bench.events(.enumeration).first?.detail?.hasSuffix("looks like nmap's version scan") == true)
    }

    @Test("a flood of sources that each list once is bounded, and swallowed lines are counted")
    func flood() {
        let bench = Bench.started([.sample()])
        for number in 0..<10_000 {
            bench.call(.dump(.v2), from: .stranger("198.18.\(number / 256).\(number % 256)"))
        }
        #expect(bench.loop.warden.watch.suspects.count <= 1024)
        #expect(bench.loop.warden.watch.denials.count == DenialLog.sourcesMax)
        bench.advance(by: Watch.watched)
        #expect(bench.events(.enumeration).count <= 200)
    }

    @Test("a source that was told of is not told of again when it is quarantined")
    func onceBeforeQuarantine() {
        let bench = Bench.started([.sample()])
        bench.call(.dump(.v2), from: .stranger)
        bench.advance(by: Watch.watched)
        #expect(bench.events(.enumeration).count == 1)
        for xid in UInt32(1)...20 { bench.call(.dump(.v2), from: .stranger, xid: xid) }
        #expect(bench.events(.quarantined).count == 1)
        #expect(bench.events(.enumeration).count == 1)
    }
}
