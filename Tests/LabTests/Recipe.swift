import Foundation
import Testing

/// A code block of docs/COEXISTENCE.md, which an HTML comment names: `<!-- recipe: ufw -->`.
struct Recipe {
    /// Without the line that ends the block.
    var text: String

    init(_ name: String) throws {
        let document = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../../docs/COEXISTENCE.md").standardizedFileURL
        let lines = try String(contentsOf: document, encoding: .utf8)
            .split(separator: "\n", omittingEmptySubsequences: false)
        let comment = try #require(
            lines.firstIndex(of: "<!-- recipe: \(name) -->"), "docs/COEXISTENCE.md has no recipe \(name)")
        let block = lines[(comment + 1)...]
        try #require(block.first?.hasPrefix("```") == true, "no code block follows the comment of \(name)")
        text = block.dropFirst().prefix { $0 != "```" }.joined(separator: "\n")
    }

    /// The recipe as somebody has it who left out these lines.
    func without(_ pattern: String) throws -> String {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let kept = lines.filter { !$0.contains(pattern) }
        try #require(kept.count < lines.count, "no line of the recipe has \(pattern)")
        return kept.joined(separator: "\n")
    }
}
