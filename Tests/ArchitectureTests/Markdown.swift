/// A fenced block of a document, and the HTML comment in the line above it.
struct MarkdownBlock: Equatable {
    var line: Int
    var comment: String?
    var language: String
    var text: String

    /// `<!-- recipe: NAME -->`: a lab test runs it by this name.
    var recipe: String? { value(of: "recipe") }
    /// `<!-- run by: SCRIPT -->`: the script that runs the block.
    var script: String? { value(of: "run by") }
    /// ```` ```text ````: a drawing, or a program's output.
    var isShown: Bool { language == "text" }

    private func value(of key: String) -> String? {
        guard let comment, comment.hasPrefix("<!-- \(key): "), comment.hasSuffix(" -->") else { return nil }
        return String(comment.dropFirst("<!-- \(key): ".count).dropLast(" -->".count))
    }
}

struct Markdown {
    private(set) var blocks: [MarkdownBlock] = []
    /// Lines that are code by indentation alone: such blocks have no place for a name.
    private(set) var indented: [Int] = []

    init(_ text: String) {
        var open: MarkdownBlock?
        var before = ""
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let words = line.drop { $0 == " " }
            if words.hasPrefix("```") {
                if let block = open {
                    blocks.append(block)
                    open = nil
                } else {
                    let comment = before.hasPrefix("<!--") ? before : nil
                    open = MarkdownBlock(
                        line: index + 1, comment: comment, language: String(words.dropFirst(3)), text: "")
                }
            } else if open != nil {
                open?.text += line + "\n"
            } else if line.hasPrefix("    "), before.isEmpty {
                indented.append(index + 1)
            }
            before = String(words)
        }
    }
}
