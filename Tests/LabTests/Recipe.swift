import Foundation
import Testing

/// A fenced block of a document, which an HTML comment names: `<!-- recipe: ufw -->`.
struct Recipe {
    /// Without the line that ends the block.
    var text: String

    init(_ name: String) throws {
        for document in ["README.md", "docs/OPERATIONS.md", "docs/COOKBOOK.md", "docs/COEXISTENCE.md"] {
            let text = try String(contentsOf: Self.root.appendingPathComponent(document), encoding: .utf8)
            guard let block = Self.block(name, in: text) else { continue }
            self.text = block
            return
        }
        throw Unfulfilled(description: "no document has a block with <!-- recipe: \(name) --> above it")
    }

    /// Where the file goes whose text this is: its first line says so.
    var path: String {
        get throws {
            let words = try #require(text.split(separator: "\n").first).split(separator: " ")
            try #require(words.count == 2 && words[0] == "#" && words[1].hasPrefix("/"), "\(text)")
            return String(words[1])
        }
    }

    /// The recipe as somebody has it who left out these lines.
    func without(_ pattern: String) throws -> String {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let kept = lines.filter { !$0.contains(pattern) }
        try #require(kept.count < lines.count, "no line of the recipe has \(pattern)")
        return kept.joined(separator: "\n")
    }

    private static func block(_ name: String, in text: String) -> String? {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard let comment = lines.firstIndex(where: { $0.hasSuffix("<!-- recipe: \(name) -->") }) else { return nil }
        // Within a list it is indented.
        let indentation = lines[comment].prefix { $0 == " " }.count
        let block = lines[(comment + 1)...].map { $0.dropFirst(indentation) }
        guard block.first?.hasPrefix("```") == true else { return nil }
        return block.dropFirst().prefix { !$0.hasPrefix("```") }.joined(separator: "\n")
    }

    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("../..").standardizedFileURL
}

extension Lab {
    /// Gives the host folders of its own, so that documents' blocks run there as they stand.
    func furnish(_ host: Host = .server) throws { try control("furnish", host.rawValue, binary) }

    /// Writes a block to the file that its first line names.
    func put(_ name: String, on host: Host = .server, at path: String? = nil, adding more: String = "") throws {
        let recipe = try Recipe(name)
        try install(recipe.text + "\n" + more, on: host, at: path ?? recipe.path)
    }

    /// Runs a block, of which each command must succeed; what it printed.
    @discardableResult
    func runs(_ name: String, on host: Host = .server, with variables: [String] = [], seconds: Double = 60) throws
        -> String
    {
        let text = try Recipe(name).text
        let output = try exec(host, ["env"] + variables + ["sh", "-ec", text], seconds: seconds)
        guard output.isSuccess else { throw CommandError(command: [text], output: output) }
        return output.text
    }

    func install(_ text: String, on host: Host = .server, at path: String) throws {
        let source = "installed.\(host)"
        try write(text, to: source)
        let output = try exec(host, "install", "-D", "-m", "644", "\(state)/\(source)", path)
        guard output.isSuccess else { throw CommandError(command: ["install", path], output: output) }
    }

    /// rpcbind and rpcwarden as `rpcwarden setup` leaves them, in a furnished server; but enforcing.
    func setUp(_ host: Host = .server) throws {
        for unit in ["rpcbind.socket", "rpcbind.service"] {
            let source = Recipe.root.appendingPathComponent("systemd/\(unit).d/rpcwarden.conf")
            let dropIn = try String(contentsOf: source, encoding: .utf8)
            try install(dropIn, on: host, at: "/etc/systemd/system/\(unit).d/rpcwarden.conf")
        }
        try install("rules: []\n", on: host, at: "/etc/rpcwarden/policy.d/start.yaml")
        try install(auditSettings, on: host, at: "/etc/rpcwarden/rpcwarden.yaml")
        try systemctl("restart rpcbind.socket rpcwarden", on: host)
    }

    /// The lab's stand-in for it.
    func systemctl(_ words: String, on host: Host = .server) throws {
        let output = try exec(host, ["systemctl"] + words.split(separator: " ").map(String.init), seconds: 60)
        guard output.isSuccess else { throw CommandError(command: ["systemctl", words], output: output) }
    }

    /// The audit log in the lab's own place.
    var auditSettings: String { "audit: {to: file, file: \(state)/audit.jsonl}\n" }
}
