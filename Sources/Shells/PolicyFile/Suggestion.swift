/// Parts of messages: quoted input, and suggested corrections.
enum Suggestion {
    /// Longer words are not compared: the time is the product of the lengths.
    static let comparedLengthMax = 64

    /// More candidates are not compared.
    static let candidatesMax = 4096

    /// `did you mean "mountd"?`, or `nil` if no candidate is close.
    static func forWord(_ word: String, among candidates: some Sequence<String>) -> String? {
        closest(to: word, among: candidates).map { "did you mean \(quoted($0))?" }
    }

    /// The candidate with the fewest edits; up to a third of the word's letters may differ, and one in short words.
    static func closest(to word: String, among candidates: some Sequence<String>) -> String? {
        let letters = Array(word.lowercased().utf8)
        guard (1...comparedLengthMax).contains(letters.count) else { return nil }
        let editsMax = max(1, letters.count / 3)
        var best: (edits: Int, candidate: String)?
        for candidate in candidates.prefix(candidatesMax) {
            let others = Array(candidate.lowercased().utf8)
            guard abs(others.count - letters.count) <= editsMax, others.count <= comparedLengthMax else { continue }
            let edits = edits(from: letters, to: others)
            guard edits <= editsMax, edits < max(letters.count, others.count) else { continue }
            // Candidates may come in any order; of equally close ones the same is always chosen.
            if let best, (best.edits, best.candidate) <= (edits, candidate) { continue }
            best = (edits, candidate)
        }
        return best?.candidate
    }

    /// The count of insertions, deletions, replacements and swaps of neighbours.
    private static func edits(from left: [UInt8], to right: [UInt8]) -> Int {
        var beforeLast: [Int] = []
        var last = Array(0...right.count)
        for row in left.indices {
            var current = [row + 1]
            for column in right.indices {
                let same = left[row] == right[column]
                var cost = min(last[column] + (same ? 0 : 1), last[column + 1] + 1, current[column] + 1)
                if row > 0, column > 0, left[row] == right[column - 1], left[row - 1] == right[column] {
                    cost = min(cost, beforeLast[column - 1] + 1)
                }
                current.append(cost)
            }
            beforeLast = last
            last = current
        }
        return last[right.count]
    }
}

/// Input for messages: in quotes, cut to 60 characters, with control characters escaped.
func quoted(_ text: some StringProtocol) -> String {
    let shownMax = 60
    var shown = ""
    for scalar in text.unicodeScalars.prefix(shownMax) {
        shown += isPrintable(scalar) ? String(scalar) : "\\u{\(String(scalar.value, radix: 16))}"
    }
    return "\"\(shown)\(text.unicodeScalars.count > shownMax ? "…" : "")\""
}

/// `false` for characters that change the look of a line: control characters, and marks of writing direction.
func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
    // Unicode's property tables are slow, and nearly all text is ASCII.
    if scalar.isASCII { return scalar.value >= 0x20 && scalar.value != 0x7f }
    return switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator: false
    default: true
    }
}
