import Addresses
import Calls
import Clock
import CoreSamples
import Firewall
import ONCRPC
import Policy
import TestSupport
import Testing

@testable import Watch

@Suite("denial log") struct DenialLogTests {
    private static func incoming(
        _ address: String, _ program: UInt32 = 100_003, over transport: Transport = .udp
    ) -> IncomingCall {
        IncomingCall(
            peer: .stranger(address, transport), xid: 1, byteCount: 56,
            content: .call(.port(of: Program(program))))
    }

    private static func add(
        _ log: inout DenialLog, _ address: String, _ program: UInt32 = 100_003, over transport: Transport = .udp,
        isListed: Bool = false, at second: Int64
    ) {
        _ = log.add(
            incoming(address, program, over: transport), .stranger, isListed: isListed, within: .seconds(60),
            at: Instant(nanoseconds: second * 1_000_000_000))
    }

    @Test(
        "who asks on and on stays, whoever floods with addresses that are seen once, also those of named clients",
        arguments: [false, true])
    func flood(isOfNames: Bool) {
        var log = DenialLog()
        for second in 0..<10 { Self.add(&log, "192.0.2.1", at: Int64(second)) }
        Self.add(&log, "192.0.2.9", over: .tcp, isListed: true, at: 10)
        for number in 0..<20_000 {
            Self.add(&log, "198.18.\(number / 256).\(number % 256)", isListed: isOfNames, at: 20)
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

    @Test("a source that gave way is not known by the record that took its place, and comes back as a new one")
    func gaveWay() {
        var log = DenialLog()
        Self.add(&log, "192.0.2.1", at: 1)
        for number in 0..<DenialLog.sourcesMax {
            Self.add(&log, "198.18.\(number / 256).\(number % 256)", at: 2)
        }
        let source = DenialLog.Source(ip("192.0.2.1"), isListed: false)
        #expect(log[source] == nil)
        Self.add(&log, "192.0.2.1", at: 3)
        #expect(log[source]?.client == ip("192.0.2.1") && log[source]?.count == 1)
        #expect(log.count == DenialLog.sourcesMax)
    }
}
