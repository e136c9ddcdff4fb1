import Policy
import TestSupport
import Testing

@testable import PolicyFile

@Suite("Malformed input")
struct MalformedInputTests {
    private func readBothWays(_ bytes: [UInt8]) {
        let source = SourceFile(name: "f.yaml", bytes: bytes)
        let places =
            ParsedPolicy([source], names: names).diagnostics.map(\.location)
            + ParsedConfiguration(source).diagnostics.map(\.location)
        for place in places { #expect(place.line >= 1 && place.column >= 1) }
    }

    @Test("every truncated sample is read or refused", arguments: policySamples + ["rpcwarden.yaml"])
    func truncated(_ name: String) throws {
        let bytes = try sampleFile(name).bytes
        for length in bytes.indices { readBothWays(Array(bytes[..<length])) }
    }

    @Test("every sample with flipped bytes is read or refused", arguments: policySamples + ["rpcwarden.yaml"])
    func flipped(_ name: String) throws {
        let bytes = try sampleFile(name).bytes
        var generator = SeededGenerator(state: 0x9e37_79b9_7f4a_7c15)
        for _ in 0..<1000 {
            var changed = bytes
            for _ in 0..<Int.random(in: 1...8, using: &generator) {
                let index = Int.random(in: changed.indices, using: &generator)
                changed[index] = UInt8.random(in: .min ... .max, using: &generator)
            }
            readBothWays(changed)
        }
    }

    @Test("every sample with lines shuffled among samples is read or refused")
    func shuffled() throws {
        let lines = try (policySamples + ["rpcwarden.yaml"]).flatMap { try sampleFile($0).bytes.split(separator: 10) }
        var generator = SeededGenerator(state: 42)
        for _ in 0..<500 {
            let chosen = (0..<20).compactMap { _ in lines.randomElement(using: &generator) }
            readBothWays(Array(chosen.joined(separator: [10])))
        }
    }

    @Test(
        "odd bytes",
        arguments: [
            [0], [0xff], [0xef, 0xbb], [0xef, 0xbb, 0xbf], [0xff, 0xfe, 0x61, 0x00], [0x61, 0x3a, 0x00], [0x0d], [0x25],
            Array("%YAML 9.9\n---\na: b".utf8), Array("\"\\ud800\"".utf8), Array("a: |\n  b".utf8), Array("? a".utf8),
            Array("- - - - a".utf8), Array("{a".utf8), Array("rules: [,]".utf8), Array(":".utf8), Array("...".utf8),
        ] as [[UInt8]])
    func odd(_ bytes: [UInt8]) {
        readBothWays(bytes)
    }
}
