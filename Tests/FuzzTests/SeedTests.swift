import Foundation
import Testing

/// The fuzzer's targets without the fuzzer: no sanitizer, and no limit for an allocation.
@Suite("what the fuzzer runs") struct SeedTests {
    private static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// The seeds of each target, by its name.
    private static let seeds = Result { try makeSeeds() }

    private static func makeSeeds() throws -> [String: [Data]] {
        let folder = FileManager.default.temporaryDirectory.appending(path: "rpcwarden-seeds-\(UUID().uuidString)")
        defer { do { try FileManager.default.removeItem(at: folder) } catch {} }
        let script = try Process.run(root.appending(path: "scripts/fuzz.d/seeds"), arguments: [folder.path])
        script.waitUntilExit()
        try #require(script.terminationStatus == 0)
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        return try Dictionary(
            uniqueKeysWithValues: names.map { name in
                let target = folder.appending(path: name)
                let files = try FileManager.default.contentsOfDirectory(at: target, includingPropertiesForKeys: nil)
                return (name, try files.map { try Data(contentsOf: $0) })
            })
    }

    @Test("there are seeds for each target, and for no other")
    func complete() throws {
        let seeds = try Self.seeds.get()
        #expect(Set(seeds.keys) == Set(FuzzTarget.all.map(\.name)))
        #expect(seeds.values.allSatisfy { !$0.isEmpty })
    }

    // A target ends the process, and tells why, if a property doesn't hold.
    @Test("takes each seed", arguments: FuzzTarget.all.map(\.name))
    func taken(name: String) throws {
        let target = try #require(FuzzTarget.all.first { $0.name == name })
        for seed in try #require(try Self.seeds.get()[name]) { seed.withUnsafeBytes { target.check($0) } }
    }
}
