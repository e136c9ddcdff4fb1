import Foundation
import Testing

/// A line that somebody types, and what two tabs must show.
private struct Typed: CustomTestStringConvertible {
    var line: String
    var shown: [String]

    init(_ line: String, _ shown: String...) { (self.line, self.shown) = (line, shown) }

    var testDescription: String { line }

    static let lines = [
        Typed("rpcwarden re", "registry", "revoke", "release", "reload"),
        Typed("rpcwarden setup --", "--dry-run", "--undo", "--root"),
        Typed("rpcwarden explain --program nf", "nfsprog", "nfs_acl"),
        Typed("rpcwarden explain --transport ", "tcp", "udp"),
        Typed("rpcwarden explain --procedure ", "getport", "dump"),
        Typed("rpcwarden check FOLDER/", "one.yaml", "two.yaml"),
        Typed("rpcwarden check --config FOLDER/t", "two.yaml"),
        Typed("rpcwarden setup --root FOLDER/", "inner"),
        Typed("rpcwarden learn --file FOLDER/a", "audit.jsonl"),
    ]
}

@Suite("Completions, in real shells", .serialized, .enabled(if: areToolsWanted, "needs RPCWARDEN_LAB=1"))
struct CompletionTests {
    @Test("two tabs show what may follow", arguments: ["bash", "zsh", "fish"])
    func completes(shell: String) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("rpcwarden-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: folder.appendingPathComponent("files/inner"), withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        for name in ["one.yaml", "two.yaml", "other.txt", "audit.jsonl"] {
            try "".write(to: folder.appendingPathComponent("files/\(name)"), atomically: false, encoding: .utf8)
        }
        let script = folder.appendingPathComponent(shell == "zsh" ? "_rpcwarden" : "completions")
        let printed = try run([BuiltProgram.path, "--generate-completion-script", shell])
        try #require(printed.status == 0, "\(printed)")
        try printed.text.write(to: script, atomically: false, encoding: .utf8)

        let driver = Repository.root.appendingPathComponent("Tests/ReferenceTests/typing.py").path
        for typed in Typed.lines {
            let line = typed.line.replacing("FOLDER", with: folder.appendingPathComponent("files").path)
            let output = try run(["python3", driver, shell, script.path, BuiltProgram.folder, line] + typed.shown)
            #expect(output.status == 0, "\(typed.line): \(output)")
        }
    }
}
