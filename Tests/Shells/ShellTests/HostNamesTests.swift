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

    @Test("a name's addresses in hosts(5): of all its lines, as a name or an alias, in whatever case, and no comment")
    func hostsFile() throws {
        let path = "/tmp/rpcwarden-hosts-\(UInt64.random(in: 0 ... .max))"
        defer { unlink(path) }
        let text = """
            127.0.0.1 localhost
            10.1.2.3\tNAS.example.com nas # two.example.com
            2001:db8::1 other nas.Example.com
            10.1.2.4 nas.example.com.evil.test xnas.example.com
            #10.1.2.5 nas.example.com
            nonsense nas.example.com
            10.1.2.6 last.example.com
            """
        let file = try #require(fopen(path, "we"))
        fputs(text, file)
        fclose(file)
        #expect(HostsFile.addresses(of: "nas.example.com", at: path) == [ip("10.1.2.3"), ip("2001:db8::1")])
        #expect(HostsFile.addresses(of: "nas", at: path) == [ip("10.1.2.3")])
        #expect(HostsFile.addresses(of: "last.example.com", at: path) == [ip("10.1.2.6")])
        #expect(HostsFile.addresses(of: "two.example.com", at: path).isEmpty)
        #expect(HostsFile.addresses(of: "10.1.2.3", at: path).isEmpty)
        #expect(HostsFile.addresses(of: "nas.example.com", at: "\(path)/none").isEmpty)
    }
}
