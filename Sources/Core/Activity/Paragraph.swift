/// Words that are shown in lines, broken between them.
public struct Paragraph {
    private var words: [Field]

    public init(_ text: some StringProtocol, _ emphasis: Line.Emphasis = .plain) {
        // The words between several spaces are empty, so that a quoted text stays as it is.
        words = text.split(separator: " ", omittingEmptySubsequences: false).map {
            Field(DisplayText($0), emphasis)
        }
    }

    public static func + (first: Paragraph, second: Paragraph) -> Paragraph {
        var both = first
        both.words += second.words
        return both
    }

    /// - Parameters:
    ///   - columns: the most that a line may have, unless a single word is wider; `nil`: all is one line.
    ///   - first: begins the first line.
    ///   - rest: begins the others.
    public func lines(columns: Int?, first: String = "", rest: String = "") -> [Line] {
        var lines: [Line] = []
        var line = Line()
        line.append(DisplayText(first))
        var isEmpty = true
        for word in words {
            if !isEmpty, let columns, line.width + 1 + word.text.width > columns {
                lines.append(line)
                line = Line()
                line.append(DisplayText(rest))
                isEmpty = true
            }
            if !isEmpty { line.append(spaces: 1) }
            line.append(word.text, word.emphasis)
            isEmpty = false
        }
        return lines + [line]
    }
}
