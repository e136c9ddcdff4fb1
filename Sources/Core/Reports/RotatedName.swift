/// The names that logrotate(8) gives to the older files of a log.
///
/// `audit.jsonl.1`, `audit.jsonl-20261121.gz`, and by its directive `extension` also `audit-20261121.jsonl`. A name alone
/// proves nothing, since hosts have names such as `fs-01` and `10.20.0.1`: the file without the mark must exist.
public enum RotatedName {
    /// The programs that decompress a file, by the end of its name; each takes `-dc`.
    private static let programs = [".gz": "gzip", ".xz": "xz", ".zst": "zstd", ".bz2": "bzip2"]

    /// The program that decompresses the file, and writes it to stdout when called with `-dc`; `nil`: it isn't compressed.
    public static func decompressor(of name: String) -> String? { compression(of: name).flatMap { programs[$0] } }

    /// The name without the end that names its compression.
    public static func uncompressed(_ name: String) -> String {
        compression(of: name).map { String(name.dropLast($0.count)) } ?? name
    }

    private static func compression(of name: String) -> String? { programs.keys.first { name.hasSuffix($0) } }

    /// Whether logrotate(8) may have made the name of the log's name.
    public static func isRotation(_ name: String, of base: String) -> Bool {
        let name = uncompressed(name)
        if name.hasPrefix(base), isMark(name.dropFirst(base.count)) { return true }
        guard let dot = base.lastIndex(of: "."), base[dot...].dropFirst().first?.isLetter == true,
            name.utf8.count > base.utf8.count, name.hasPrefix(base[..<dot]), name.hasSuffix(base[dot...])
        else { return false }
        return isMark(name.dropFirst(base[..<dot].count).dropLast(base[dot...].count))
    }

    /// The log whose rotated file this is, by the names in its folder: the longest of them.
    public static func base(of name: String, among names: [String]) -> String? {
        names.filter { isRotation(name, of: $0) }.max { $0.utf8.count < $1.utf8.count }
    }

    /// Whether a name that begins with the log's name looks as if it belonged to the log.
    public static func isLike(_ name: String, _ base: String) -> Bool {
        name.hasPrefix(base) && ["-", ".", "_"].contains(name.dropFirst(base.count).first)
    }

    /// `.1`, or a date in a form of `dateformat`.
    private static func isMark(_ mark: Substring) -> Bool {
        guard let separator = mark.first, ["-", ".", "_"].contains(separator) else { return false }
        let groups = mark.dropFirst().split(omittingEmptySubsequences: false) { "-._:T".contains($0) }
        guard groups.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }) else {
            return false
        }
        let isNumber = groups.count == 1 && separator == "." && groups[0].count <= numberDigitsMax
        return isNumber || isTime(groups)
    }

    /// logrotate(8) counts in `.N`; nobody keeps more.
    private static let numberDigitsMax = 4

    /// `20261121`, `2026-11-21`, `2026112108`, `20261121-1795248000`, or seconds since 1970.
    private static func isTime(_ groups: [Substring]) -> Bool {
        guard groups[0].count == 4 || groups[0].count >= 8 else { return false }
        let digits = groups.joined()
        guard (8...24).contains(digits.count) else { return false }
        let number = { (start: Int, count: Int) in Int(digits.dropFirst(start).prefix(count)) ?? 0 }
        let isDate =
            (1990...2199).contains(number(0, 4)) && (1...12).contains(number(4, 2)) && (1...31).contains(number(6, 2))
        return isDate || groups.count == 1 && digits.count == 10 && digits.first == "1"
    }
}
