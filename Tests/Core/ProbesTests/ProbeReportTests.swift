import Addresses
import Foundation
import Testing

@testable import Probes

@Suite("the report of a probe") struct ProbeReportTests {
    private static func row(
        _ verdict: ProbeVerdict, _ program: Program = .nfs, named name: String? = "nfs", detail: String? = nil
    ) -> ProbeRow {
        ProbeRow(
            ProbeSubject(program: program, version: 3, transport: .tcp), programName: name, address: "10.0.0.1",
            ServiceProbe.Finding(verdict, port: verdict == .open ? 2049 : nil, detail: detail),
            time: .microseconds(2113))
    }

    private static let outcomes: [([ProbeVerdict], ProbeExpectation, ProbeReport.Outcome)] = [
        ([.open, .open], .open, .asExpected),
        ([.open, .silent], .open, .unexpected),
        ([.silent, .silent], .open, .unanswered),
        ([.silent], .denied, .unanswered),
        ([.unregistered], .open, .unexpected),
        ([.denied, .denied], .denied, .asExpected),
        ([.denied, .unregistered], .denied, .unexpected),
        ([.silent, .silent], .silent, .asExpected),
        ([.silent, .denied], .silent, .unexpected),
        ([.unregistered], .silent, .unexpected),
        ([.shut], .silent, .unexpected),
        ([.open], .silent, .unexpected),
    ]

    @Test("verdicts against what was expected", arguments: outcomes)
    func outcome(verdicts: [ProbeVerdict], expectation: ProbeExpectation, outcome: ProbeReport.Outcome) {
        #expect(ProbeReport(verdicts.map { Self.row($0) }, expecting: expectation).outcome == outcome)
    }

    @Test("a client is taken to use TCP; a stranger must be kept out of both")
    func transports() {
        #expect(ProbeExpectation.open.transports == [.tcp])
        #expect(ProbeExpectation.denied.transports == [.tcp])
        #expect(ProbeExpectation.silent.transports == [.tcp, .udp])
    }

    @Test("Nagios gets one line, with the seconds that open services took")
    func nagiosLine() {
        let good = ProbeReport([Self.row(.open), Self.row(.open, .mountd, named: "mountd")], expecting: .open)
        #expect(
            good.nagiosLine(host: "filer")
                == "RPC OK: 2 of 2 services of filer open | 'nfs/tcp'=0.002113s;;;0 'mountd/tcp'=0.002113s;;;0")
        let bad = ProbeReport([Self.row(.open), Self.row(.shut, Program(0x2000_0000), named: nil)], expecting: .open)
        #expect(
            bad.nagiosLine(host: "filer")
                == "RPC CRITICAL: 1 of 2 services of filer open; 536870912/tcp shut | 'nfs/tcp'=0.002113s;;;0")
        let dead = ProbeReport([Self.row(.silent)], expecting: .open)
        #expect(
            dead.nagiosLine(host: "filer")
                == "RPC CRITICAL: 0 of 1 services of filer open; nobody answers at port 111")
        let stranger = ProbeReport([Self.row(.silent)], expecting: .silent)
        #expect(stranger.nagiosLine(host: "filer") == "RPC OK: 1 of 1 services of filer silent")
    }

    @Test(
        "seconds have no exponent, however quick the answer",
        arguments: [(85, "0.000085"), (0, "0.000000"), (61_000_001, "61.000001")])
    func seconds(microseconds: Int, text: String) {
        var row = Self.row(.open)
        row.time = .microseconds(microseconds)
        #expect(ProbeReport([row], expecting: .open).nagiosLine(host: "h").hasSuffix("'nfs/tcp'=\(text)s;;;0"))
    }

    @Test("neither a host nor a name begins performance data or ends a label")
    func nagiosText() {
        let report = ProbeReport([Self.row(.open, named: "a|b'c=d")], expecting: .silent)
        #expect(
            report.nagiosLine(host: "x|y")
                == "RPC CRITICAL: 0 of 1 services of x!y silent; a!b'c=d/tcp open | 'a!b_c_d/tcp'=0.002113s;;;0")
        #expect(ProbeReport.nagiosLine(unknown: "can't | ask") == "RPC UNKNOWN: can't ! ask")
    }

    @Test("a row as JSON has all keys, with null for what isn't known")
    func json() throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        let text = String(decoding: try encoder.encode(Self.row(.silent, named: nil)), as: UTF8.self)
        #expect(
            text
                == #"{"address":"10.0.0.1","detail":null,"port":null,"program":100003,"program_name":null,"seconds":0.002113,"transport":"tcp","verdict":"silent","version":3}"#
        )
    }
}
