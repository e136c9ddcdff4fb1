import Foundation
import Testing

/// A typed command line, and the completions that two tabs must show.
private struct Typed {
    var line: String
    var shown: [String]

    init(_ line: String, _ shown: String...) { (self.line, self.shown) = (line, shown) }
    static let lines = [
        Typed("rpcwarden re", "registry", "revoke", "release", "reload"),
        Typed("rpcwarden setup --", "--dry-run", "--undo", "--root", "--pin"),
        Typed("rpcwarden guard ", "load", "unload"),
        Typed("rpcwarden explain --", "--client", "--server"),
        Typed("rpcwarden explain --program nfs", "nfsprog", "nfs_acl"),
        Typed("rpcwarden explain --transport ", "tcp", "udp"),
        Typed("rpcwarden probe --expect ", "open", "denied", "silent"),
        Typed("rpcwarden explain --procedure ", "getport", "dump"),
        Typed("rpcwarden check FOLDER/", "one.yaml", "two.yaml"),
        Typed("rpcwarden check --config FOLDER/t", "wo.yaml"),
        Typed("rpcwarden setup --root FOLDER/", "inner"),
        Typed("rpcwarden learn --file FOLDER/a", "udit.jsonl"),
    ]
    static let fleetLines = [
        Typed("rpcwarden-fleet ", "serve", "quarantines", "publish", "order"),
        Typed("rpcwarden-fleet order re", "revoke", "release"),
        Typed("rpcwarden-fleet nodes --", "--json", "--prometheus-sd", "--metrics-port"),
        Typed("rpcwarden-fleet check --config FOLDER/t", "wo.yaml"),
        Typed("rpcwarden-fleet publish --group nfs FOLDER/", "one.yaml", "audit.jsonl"),
        Typed("rpcwarden-fleet publish --keys FOLDER/a", "udit.jsonl"),
        Typed("rpcwarden-fleet order revoke --key FOLDER/a", "udit.jsonl"),
    ]
}

@Suite("Completions, in real shells", .serialized, .enabled(if: areToolsWanted, "needs RPCWARDEN_LAB=1"))
struct CompletionTests {
    @Test("two tabs show what may follow", arguments: ["bash", "zsh", "fish"])
    func completes(shell: String) throws {
        try expect(Typed.lines, in: shell, of: "rpcwarden")
    }

    @Test("two tabs show what may follow rpcwarden-fleet", arguments: ["bash", "zsh", "fish"])
    func completesFleet(shell: String) throws {
        try expect(Typed.fleetLines, in: shell, of: "rpcwarden-fleet")
    }

    private func expect(_ typed: [Typed], in shell: String, of program: String) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("rpcwarden-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: folder.appendingPathComponent("files/inner"), withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        for name in ["one.yaml", "two.yaml", "other.txt", "audit.jsonl"] {
            try "".write(to: folder.appendingPathComponent("files/\(name)"), atomically: false, encoding: .utf8)
        }
        let script = folder.appendingPathComponent(shell == "zsh" ? "_\(program)" : "completions")
        let printed = try run([BuiltProgram.folder + "/\(program)", "--generate-completion-script", shell])
        try #require(printed.status == 0, "\(printed)")
        try printed.text.write(to: script, atomically: false, encoding: .utf8)

        let driver = Repository.root.appendingPathComponent("Tests/ReferenceTests/typing.py").path
        let files = folder.appendingPathComponent("files").path
        let lines = Dictionary(
            uniqueKeysWithValues: typed.map { ($0.line.replacing("FOLDER", with: files), $0.shown) })
        let input = String(decoding: try JSONEncoder().encode(lines), as: UTF8.self)
        let output = try run(["python3", driver, shell, script.path, BuiltProgram.folder], input: input)
        #expect(output.status == 0 && output.text == "{}", "\(output)")
    }
}
