/// Cuts an exports(5) file into words as nfs-utils does: quotes, octal escapes, continuation lines, comments.
///
/// Text that nfs-utils reads in an unexpected way is an error here: it must not become a permission.
struct ExportsScanner {
    enum Token: Hashable {
        /// The word's bytes, unquoted, and the place where it begins.
        case word([UInt8], Place)
        case lineEnd
        case fileEnd
        /// The rest of this line has no meaning.
        case mistake(String, Place)
        /// The rest of the file has no certain meaning.
        case breakdown(String, Place)
    }

    /// A byte of the file. Lines count from 1, offsets from 0.
    struct Place: Hashable {
        var line: Int
        var offset: Int
    }

    /// MAXPATHLEN; a client with its options has 512 in nfs-utils.
    static let wordBytesMax = 4096

    private let bytes: [UInt8]
    private var position = 0
    private(set) var line = 1

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The next byte, continuation lines joined. A continued line's indentation is no part of the word.
    private func peek() -> (byte: UInt8, next: Int, lines: Int)? {
        guard position < bytes.count else { return nil }
        guard bytes[position] == Self.backslash, position + 1 < bytes.count, bytes[position + 1] == Self.newline else {
            return (bytes[position], position + 1, bytes[position] == Self.newline ? 1 : 0)
        }
        var index = position + 2
        while index < bytes.count, Self.blanks.contains(bytes[index]) { index += 1 }
        guard index < bytes.count else { return nil }
        // Two continuations in a row: the second backslash stands for itself in nfs-utils, and ends no line
        // there.
        return (bytes[index], index + 1, 1 + (bytes[index] == Self.newline ? 1 : 0))
    }

    /// The place of the byte that was found.
    private func place(of found: (byte: UInt8, next: Int, lines: Int)) -> Place {
        Place(line: line + found.lines - (found.byte == Self.newline ? 1 : 0), offset: found.next - 1)
    }

    /// The byte that is read next.
    var place: Place { peek().map(place) ?? Place(line: line, offset: position) }

    /// Bytes from the line's beginning, counted from 1.
    func column(of place: Place) -> Int {
        let lineStart = bytes[..<place.offset].lastIndex(of: Self.newline).map { $0 + 1 } ?? 0
        return place.offset - lineStart + 1
    }

    /// The file is at its end, and its last line ends in a continuation.
    var endsInContinuation: Bool { peek() == nil && position < bytes.count }

    private mutating func take(_ found: (byte: UInt8, next: Int, lines: Int)) {
        position = found.next
        line += found.lines
    }

    mutating func next() -> Token {
        while let found = peek() {
            switch found.byte {
            case _ where Self.blanks.contains(found.byte): take(found)
            case Self.hash: skipComment()
            case Self.newline:
                take(found)
                return .lineEnd
            case Self.carriageReturn where isLineEnd(after: found): take(found)
            case _ where Self.otherSpaces.contains(found.byte):
                let place = place(of: found)
                take(found)
                return .mistake("a control character", place)
            default: return word(from: place(of: found))
            }
        }
        return .fileEnd
    }

    /// Skips up to the line's end, which stays.
    private mutating func skipComment() {
        while let found = peek(), found.byte != Self.newline { take(found) }
    }

    /// Skips up to the line's end or an error of the file, word by word: a quote may go on in the next line.
    mutating func skipLine() -> Token {
        while true {
            switch next() {
            case .lineEnd: return .lineEnd
            case .fileEnd: return .fileEnd
            case .breakdown(let what, let place): return .breakdown(what, place)
            case .word, .mistake: continue
            }
        }
    }

    private mutating func word(from start: Place) -> Token {
        var text: [UInt8] = []
        /// The opening quote of the current quotation.
        var opening: Place?
        var mistake: String?
        while let found = peek(), opening != nil || !Self.ends(found.byte) {
            let place = place(of: found)
            if found.byte == 0 { return .breakdown("a NUL byte", place) }
            if found.byte == Self.newline { break }
            take(found)
            if found.byte == Self.quote {
                opening = opening == nil ? place : nil
                continue
            }
            if found.byte == Self.backslash {
                if position >= bytes.count {
                    return .breakdown("a backslash at the file's end", place)
                }
                if continuesNothing {
                    mistake = "a backslash before a carriage return or blank doesn't continue the line"
                }
            }
            text.append(found.byte)
            if !Self.decodeOctal(at: &text) { mistake = "an octal escape beyond \\377" }
            if text.count > Self.wordBytesMax {
                mistake = "a word that is too long"
                text.removeAll(keepingCapacity: true)
            }
        }
        if let opening { return .breakdown("an unterminated quote", opening) }
        // An empty word ends the line for nfs-utils, and the rest becomes another path.
        if text.isEmpty { mistake = mistake ?? "an empty word" }
        // A zero byte written as \000 ends the word for a C program.
        if text.contains(0) { mistake = "a NUL byte" }
        return mistake.map { .mistake($0, start) } ?? .word(text, start)
    }

    /// Whether, after a backslash, the line holds nothing but a carriage return and blanks, which people don't
    /// see.
    private var continuesNothing: Bool {
        let rest = bytes[position...].prefix { $0 != Self.newline }
        return !rest.isEmpty && rest.allSatisfy { $0 == Self.carriageReturn || Self.blanks.contains($0) }
    }

    private func isLineEnd(after found: (byte: UInt8, next: Int, lines: Int)) -> Bool {
        found.byte == Self.carriageReturn && (found.next >= bytes.count || bytes[found.next] == Self.newline)
    }

    /// Replaces `\040` at the end of the word by its byte; false if there is no such byte.
    private static func decodeOctal(at text: inout [UInt8]) -> Bool {
        guard text.count >= 4, text[text.count - 4] == backslash else { return true }
        let digits = text.suffix(3).map { Int($0) - 0x30 }
        guard digits.allSatisfy((0...7).contains) else { return true }
        guard let byte = UInt8(exactly: digits[0] * 64 + digits[1] * 8 + digits[2]) else { return false }
        text.removeLast(4)
        text.append(byte)
        return true
    }

    private static func ends(_ byte: UInt8) -> Bool {
        blanks.contains(byte) || byte == newline || otherSpaces.contains(byte)
    }

    private static let backslash = UInt8(ascii: "\\")
    private static let newline = UInt8(ascii: "\n")
    private static let carriageReturn = UInt8(ascii: "\r")
    private static let hash = UInt8(ascii: "#")
    private static let quote = UInt8(ascii: "\"")
    private static let blanks: [UInt8] = [UInt8(ascii: " "), UInt8(ascii: "\t")]
    /// isspace(3) knows them too: vertical tab, form feed, carriage return.
    private static let otherSpaces: [UInt8] = [0x0b, 0x0c, 0x0d]
}
