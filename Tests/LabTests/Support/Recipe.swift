import Foundation
import Testing

/// A fenced block of a document, named by an HTML comment: `<!-- recipe: ufw -->`.
struct Recipe {
    /// The block's text, without the line that ends the block.
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

    /// The path of the file, from the first line of its text.
    var path: String {
        get throws {
            let words = try #require(text.split(separator: "\n").first).split(separator: " ")
            try #require(words.count == 2 && words[0] == "#" && words[1].hasPrefix("/"), "\(text)")
            return String(words[1])
        }
    }

    /// The recipe without the lines that match the pattern, as after an incomplete copy.
    func without(_ pattern: String) throws -> String {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let kept = lines.filter { !$0.contains(pattern) }
        try #require(kept.count < lines.count, "no line of the recipe has \(pattern)")
        return kept.joined(separator: "\n")
    }

    private static func block(_ name: String, in text: String) -> String? {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard let comment = lines.firstIndex(where: { $0.hasSuffix("<!-- recipe: \(name) -->") }) else { return nil }
        // In a list, the block is indented.
        let indentation = lines[comment].prefix { $0 == " " }.count
        let block = lines[(comment + 1)...].map { $0.dropFirst(indentation) }
        guard block.first?.hasPrefix("```") == true else { return nil }
        return block.dropFirst().prefix { !$0.hasPrefix("```") }.joined(separator: "\n")
    }

    static let root = URL(fileURLWithPath: Lab.path(""))
}

extension Lab {
    /// Gives the host private folders, so that the blocks of documents run there unchanged.
    func furnish(_ host: Host = .server) throws { try control("furnish", host.rawValue, binary) }

    /// Writes a block to the file named by its first line.
    func put(_ name: String, on host: Host = .server, at path: String? = nil, adding more: String = "") throws {
        let recipe = try Recipe(name)
        try install(recipe.text + "\n" + more, on: host, at: path ?? recipe.path)
    }

    /// Runs a block, in which every command must succeed; returns its output.
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

    /// rpcbind and rpcwarden in the state that `rpcwarden setup` leaves, in a furnished server; but in enforce
    /// mode.
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

    /// Runs the lab's substitute for systemctl.
    func systemctl(_ words: String, on host: Host = .server) throws {
        let output = try exec(host, ["systemctl"] + words.split(separator: " ").map(String.init), seconds: 60)
        guard output.isSuccess else { throw CommandError(command: ["systemctl", words], output: output) }
    }

    /// Settings that put the audit log in the lab's own folder.
    var auditSettings: String { "audit: {to: file, file: \(state)/audit.jsonl}\n" }
}
