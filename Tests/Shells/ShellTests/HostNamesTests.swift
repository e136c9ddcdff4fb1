import Addresses
import Glibc
import Synchronization
import System
import TestSupport
import Testing

@testable import HostNames

@Suite("host names, asked for within a time") struct HostNamesTests {
    @Test("a name that has no answer by then is missing, and costs no more time, nor the others their answers")
    func late() throws {
        let never = try Pipe()
        let start = ContinuousClock.now
        let answers = HostNames.answers(for: ["quick", "silent", "unknown"], within: .milliseconds(200)) { name in
            switch name {
            case "quick": return .success([ip("10.0.0.1")])
            case "unknown": return .failure(HostNames.Failure(name: name, code: EAI_NONAME))
            default:
                var byte: UInt8 = 0
                read(never.readEnd, &byte, 1)
                return .success([])
            }
        }
        #expect(answers["quick"] == .success([ip("10.0.0.1")]))
        #expect(answers["unknown"] == .failure(HostNames.Failure(name: "unknown", code: EAI_NONAME)))
        #expect(answers.count == 2)
        #expect(ContinuousClock.now - start >= .milliseconds(200))
        // The late thread ends.
        close(never.writeEnd)
    }

    @Test("with all answers there, nobody waits; more names than threads are asked for one after the other")
    func all() {
        let names = (0..<3 * HostNames.atOnceMax).map { "host\($0)" }
        let start = ContinuousClock.now
        let answers = HostNames.answers(for: names, within: .seconds(600)) { _ in .success([ip("10.0.0.1")]) }
        #expect(answers.count == names.count)
        #expect(ContinuousClock.now - start < .seconds(300))
        #expect(HostNames.answers(for: [], within: .seconds(600)).isEmpty)
    }

    @Test("the system's own resolver is asked")
    func system() {
        let answers = HostNames.answers(for: ["127.0.0.1", "nosuch.invalid"], within: .seconds(60))
        #expect(answers["127.0.0.1"] == .success([ip("127.0.0.1")]))
        if case .success? = answers["nosuch.invalid"] { Issue.record("\(answers)") }
    }
}
