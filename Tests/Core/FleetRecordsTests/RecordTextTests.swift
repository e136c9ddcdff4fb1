import Clock
import FleetRecords
import TestSupport
import Testing

@Suite("records of the fleet as text") struct RecordTextTests {
    private static let time = Timestamp(milliseconds: 1_800_000_000_000)

    private static let samples: [(FleetRecord.Kind, FleetRecord, String)] = [
        (
            .grant,
            .grant(GrantRecord(issued: time, used: time + .seconds(5), rule: "n\"\n\u{e4}", keep: .seconds(3600))),
            #"{"v":1,"issued":"1800000000000","used":"1800000005000","rule":"n\"\u000a"# + "\u{e4}"
                + #"","keep":"3600000"}"#
        ),
        (
            .grant,
            .grant(GrantRecord(issued: time, used: time, rule: "", keep: .seconds(1), origin: "b")),
            #"{"v":1,"issued":"1800000000000","used":"1800000000000","rule":"","keep":"1000","origin":"b"}"#
        ),
        (
            .ended, .ended(EndedRecord(at: time, why: .revoked)),
            #"{"v":1,"at":"1800000000000","why":"revoked"}"#
        ),
        (
            .ended,
            .ended(EndedRecord(at: time, why: .policy, revoked: time + .seconds(-1))),
            #"{"v":1,"at":"1800000000000","why":"policy","revoked":"1799999999000"}"#
        ),
        (
            .quarantine,
            .quarantine(QuarantineRecord(from: time, until: time + .seconds(60), evidence: .tcp, denials: 20)),
            #"{"v":1,"from":"1800000000000","until":"1800000060000","evidence":"tcp","denials":"20"}"#
        ),
        (
            .status,
            .status(
                NodeStatus(
                    version: "0.2.0", mode: "enforce", serial: 42, grants: 7, denialsPerHour: 3, since: time)),
            #"{"v":1,"version":"0.2.0","mode":"enforce","policy":"42","table":"1","rpcbind":"1","grants":"7","denials-1h":"3","since":"1800000000000"}"#
        ),
    ]

    @Test("are written with numbers as text, and read back", arguments: samples)
    func roundTrip(kind: FleetRecord.Kind, record: FleetRecord, text: String) throws {
        #expect(String(decoding: RecordText.bytes(record), as: UTF8.self) == text)
        #expect(try RecordText.record(Array(text.utf8), of: kind) == record)
    }

    @Test("are refused if cut, or followed by anything; each byte changed is refused or read", arguments: samples)
    func bytes(kind: FleetRecord.Kind, record: FleetRecord, text: String) {
        let bytes = Array(text.utf8)
        for count in bytes.indices {
            #expect(throws: RecordText.Fault.malformed) { try RecordText.record(bytes[..<count], of: kind) }
            for byte: UInt8 in [0, 0x22, 0x2d, 0x39, 0x5b, 0x5c, 0x7b, 0x7d, 0xff] {
                var other = bytes
                other[count] = byte
                _ = try? RecordText.record(other, of: kind)
            }
        }
        #expect(throws: RecordText.Fault.malformed) { try RecordText.record(bytes + [0x7d], of: kind) }
    }

    @Test("may have members that this version doesn't know")
    func unknown() throws {
        let text =
            #" { "new" : [ { "a" : [ 1.5e-3 , null , true ] } ] , "at":1800000000000, "v":"1", "why":"\u0072evoked" } "#
        let kind = FleetRecord.Kind.ended
        #expect(try RecordText.record(Array(text.utf8), of: kind) == .ended(EndedRecord(at: Self.time, why: .revoked)))
    }

    @Test(
        "of another version, too long, too deep, or with members that mean nothing, are refused",
        arguments: [
            (#"{"at":"1","why":"revoked"}"#, RecordText.Fault.version),
            (#"{"v":2,"at":"1","why":"revoked"}"#, .version), (#"{"v":1,"at":"1","why":"expired"}"#, .member("why")),
            (#"{"v":1,"at":"01","why":"revoked"}"#, .member("at")),
            (#"{"v":1,"at":"-1","why":"revoked"}"#, .member("at")),
            (#"{"v":1,"at":"9223372036854775807","why":"revoked"}"#, .member("at")),
            (#"{"v":1,"at":9223372036854775808,"why":"revoked"}"#, .member("at")),
            (#"{"v":1,"v":1,"at":"1","why":"revoked"}"#, .malformed), (#"{"v":1,"at":"\ud800"}"#, .malformed),
            (#"{"v":01}"#, .malformed), ("[]", .malformed), ("", .malformed), (#"{"v":1,}"#, .malformed),
            (#"{"v":1,"x":"# + String(repeating: "[", count: 500) + "}", .malformed),
            (#"{"v":1,"x":""# + String(repeating: "x", count: 1024) + #""}"#, .malformed),
        ])
    func refused(text: String, fault: RecordText.Fault) {
        let kind = FleetRecord.Kind.ended
        #expect(throws: fault) { try RecordText.record(Array(text.utf8), of: kind) }
    }

    @Test("fit their limit, whatever a rule is called")
    func limit() {
        let rule = String(repeating: "\u{1}", count: 500)
        let name = String(repeating: "n", count: 64)
        let record = GrantRecord(issued: Self.time, used: Self.time, rule: rule, keep: .seconds(1 << 40), origin: name)
        #expect(RecordText.bytes(.grant(record)).count <= RecordText.bytesMax)
        #expect(record.keep == GrantRecord.keepMax)
    }

    @Test("of grants that live for no time, by a node that can't be named, or by a rule with a long name, are refused")
    func grants() {
        let long = String(repeating: "r", count: 129)
        for (rule, keep, origin, member) in [
            ("", "0", "b", "keep"), ("", "-1", "b", "keep"), ("", "1", "b/c", "origin"), (long, "1", "b", "rule"),
        ] {
            let text = #"{"v":1,"issued":"1","used":"1","rule":"\#(rule)","keep":"\#(keep)","origin":"\#(origin)"}"#
            #expect(throws: RecordText.Fault.member(member)) {
                try RecordText.record(Array(text.utf8), of: .grant)
            }
        }
    }
}
