/// Swift source without its comments and without the text of its string literals.
///
/// Code inside of `\(…)` is kept, so that forbidden constructs there are found.
struct SourceText {
    private let source: [UInt8]
    private var offset = 0
    private var kept: [UInt8] = []

    var code: String { String(decoding: kept, as: UTF8.self) }

    init(_ source: String) {
        self.source = Array(source.utf8)
        while offset < self.source.count { takeCode() }
    }

    private func isAt(_ text: StaticString, after skipped: Int = 0) -> Bool {
        let start = offset + skipped
        guard start + text.utf8CodeUnitCount <= source.count else { return false }
        for index in 0..<text.utf8CodeUnitCount where source[start + index] != text.utf8Start[index] { return false }
        return true
    }

    private mutating func takeCode() {
        if isAt("//") {
            while offset < source.count, !isAt("\n") { offset += 1 }
        } else if isAt("/*") {
            takeComment()
        } else if let hashes = openingHashes {
            takeString(hashes)
        } else {
            kept.append(source[offset])
            offset += 1
        }
    }

    /// Skips a byte; line ends are kept, so that lines stay separate.
    private mutating func drop() {
        if isAt("\n") { kept.append(source[offset]) }
        offset += 1
    }

    /// Skips a `/* … */` comment; such comments nest.
    private mutating func takeComment() {
        var depth = 0
        repeat {
            if isAt("/*") {
                depth += 1
                offset += 2
            } else if isAt("*/") {
                depth -= 1
                offset += 2
            } else {
                drop()
            }
        } while depth > 0 && offset < source.count
        kept.append(UInt8(ascii: " "))
    }

    /// The number of `#` before a string literal that starts here, or `nil`.
    private var openingHashes: Int? {
        var hashes = 0
        while isAt("#", after: hashes) { hashes += 1 }
        return isAt("\"", after: hashes) ? hashes : nil
    }

    private func hasHashes(_ count: Int, after skipped: Int) -> Bool {
        (0..<count).allSatisfy { isAt("#", after: skipped + $0) }
    }

    private mutating func takeString(_ hashes: Int) {
        offset += hashes
        let isLong = isAt("\"\"\"")
        let quotes = isLong ? 3 : 1
        offset += quotes
        kept.append(UInt8(ascii: "\""))
        while offset < source.count {
            if isLong ? isAt("\"\"\"") : isAt("\""), hasHashes(hashes, after: quotes) { break }
            if isAt("\\"), hasHashes(hashes, after: 1) {
                offset += 1 + hashes
                if isAt("(") { takeInterpolation() } else { drop() }
            } else {
                drop()
            }
        }
        offset += quotes + hashes
        kept.append(UInt8(ascii: "\""))
    }

    private mutating func takeInterpolation() {
        var depth = 0
        repeat {
            if isAt("(") { depth += 1 }
            if isAt(")") { depth -= 1 }
            takeCode()
        } while depth > 0 && offset < source.count
    }
}
