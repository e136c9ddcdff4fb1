import Foundation

/// One message of `Golden/NAME.hex`: hexadecimal, `#` starts a comment.
func golden(_ name: String) throws -> [UInt8] {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Golden")
    let text = try String(contentsOf: folder.appendingPathComponent("\(name).hex"), encoding: .utf8)
    let digits = text.split(separator: "\n").map { $0.prefix { $0 != "#" } }.joined().filter { $0 != " " }
    guard digits.count.isMultiple(of: 2) else { throw GoldenError.oddDigits(name) }
    return try stride(from: 0, to: digits.count, by: 2).map { offset in
        let start = digits.index(digits.startIndex, offsetBy: offset)
        guard let byte = UInt8(digits[start..<digits.index(start, offsetBy: 2)], radix: 16) else {
            throw GoldenError.notHexadecimal(name)
        }
        return byte
    }
}

/// The names of all golden files that start with `prefix`.
func goldenNames(_ prefix: String) throws -> Set<String> {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Golden")
    let files = try FileManager.default.contentsOfDirectory(atPath: folder.path)
    return Set(files.filter { $0.hasPrefix(prefix) && $0.hasSuffix(".hex") }.map { String($0.dropLast(4)) })
}

enum GoldenError: Error {
    case oddDigits(String)
    case notHexadecimal(String)
}
