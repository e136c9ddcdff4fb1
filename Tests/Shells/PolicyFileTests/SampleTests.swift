import Addresses
import Configuration
import Glibc
import Policy
import System
import Testing

@testable import PolicyFile

private let samplesFolder = FileSystem.join(FileSystem.folder(of: #filePath), "../../../policy")

func sampleFile(_ name: String) throws -> SourceFile {
    let answer = FileSystem.answer(for: FileSystem.join(samplesFolder, name))
    guard case .file(let bytes) = answer else { throw Errno(ENOENT) }
    return SourceFile(name: name, bytes: bytes)
}

let policySamples = ["multi-tenant.yaml", "nfsv3-workstations.yaml", "nfsv4-only.yaml", "nis.yaml"]

@Suite("Samples")
struct SampleTests {
    @Test("a sample policy is free of errors and of warnings", arguments: policySamples)
    func policySample(_ name: String) throws {
        let parsed = ParsedPolicy([try sampleFile(name)], names: names)
        #expect(parsed.diagnostics.texts == [])
        #expect(!parsed.rules.isEmpty)
    }

    @Test(
        "in every sample nfs, and what calls back without a look-up, is always open, and nothing else is",
        arguments: policySamples)
    func openings(_ name: String) throws {
        let transient = ProgramRanges([Program.transient])
        for rule in ParsedPolicy([try sampleFile(name)], names: names).rules where rule.open != .never {
            let isAlways = rule.to == [.nfs] || (rule.to.isEmpty && rule.programRanges == transient)
            #expect((rule.open == .always) == isAlways, "\(rule.label)")
        }
    }

    @Test("the sample configuration says what the defaults are")
    func configurationSample() throws {
        let parsed = ParsedConfiguration(try sampleFile("rpcwarden.yaml"))
        #expect(parsed.diagnostics.texts == [])
        #expect(parsed.settings == Settings())
    }

    @Test("no sample goes untested")
    func allSamples() throws {
        let yaml = try Folder.names(in: samplesFolder).filter { $0.hasSuffix(".yaml") }
        #expect(yaml == (policySamples + ["rpcwarden.yaml"]).sorted())
    }
}
