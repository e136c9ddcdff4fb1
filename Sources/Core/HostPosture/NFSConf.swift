/// A line `key=value` of nfs.conf(5) or of its folder.
public struct NFSConfLine: Hashable, Sendable {
    /// In small letters, as ``key``.
    public var section: String
    public var key: String
    /// `nil`: it comes from a variable of the environment, which is not known here.
    public var value: String?
    public var file: String

    /// The lines of the files in the order in which they are read, so that the last line counts.
    ///
    /// - Parameter included: the text of a file that another one includes; `nil`: there is none.
    public static func lines(
        _ files: [(file: String, text: String)], included: @escaping (String) -> String? = { _ in nil }
    ) -> [Self] {
        var reading = Reading(included: included)
        for (file, text) in files { reading.read(text, file: file, section: nil, depth: 0) }
        return reading.lines.map { line in
            var line = line
            line.value = line.value.flatMap { reading.resolved($0) }
            return line
        }
    }

    private struct Reading {
        var included: (String) -> String?
        var lines: [NFSConfLine] = []
        /// A file that includes itself would be read for ever.
        static let depthMax = 8
        /// Files that include each other many times.
        private var includesLeft = 64

        init(included: @escaping (String) -> String?) { self.included = included }

        mutating func read(_ text: String, file: String, section first: String?, depth: Int) {
            var section = first
            for line in text.replacing("\\\n", with: "  ").split(separator: "\n").map(\.trimmed) {
                if line.hasPrefix("#") || line.hasPrefix(";") { continue }
                if line.hasPrefix("[") {
                    section = Self.section(line)
                    continue
                }
                let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                guard let section, parts.count == 2, let value = Self.value(parts[1].trimmed) else { continue }
                let key = parts[0].trimmed.lowercased()
                if key == "include" {
                    include(value, in: file, section, depth)
                } else {
                    lines.append(NFSConfLine(section: section, key: key, value: value, file: file))
                }
            }
        }

        private mutating func include(_ value: String, in file: String, _ section: String, _ depth: Int) {
            let name = String(value.hasPrefix("-") ? value.dropFirst() : value[...])
            let folder = file.lastIndex(of: "/").map { file[...$0] } ?? ""
            let path = name.hasPrefix("/") ? name : folder + name
            guard depth < Self.depthMax, includesLeft > 0, let text = included(path) else { return }
            includesLeft -= 1
            read(text, file: path, section: section, depth: depth + 1)
        }

        /// `[name]` or `[name "argument"]`.
        private static func section(_ line: String) -> String? {
            guard line.contains("]") else { return nil }
            return line.dropFirst().prefix { $0 != "]" }.trimmed.lowercased()
        }

        /// The text between quotes, or up to a comment; `nil`: the closing quote is missing, and the line doesn't count.
        private static func value(_ text: String) -> String? {
            guard let quote = text.first, quote == "\"" || quote == "'" else {
                return text.prefix { $0 != "#" && $0 != ";" }.trimmed
            }
            let rest = text.dropFirst()
            return rest.firstIndex(of: quote).map { String(rest[..<$0]) }
        }

        /// `$NAME` is looked up in the section `environment`.
        func resolved(_ value: String) -> String? {
            var value = value
            for _ in 0..<Self.depthMax {
                guard value.hasPrefix("$") else { return value }
                let name = value.dropFirst().lowercased()
                guard let next = lines.last(where: { $0.section == "environment" && $0.key == name })?.value else {
                    return nil
                }
                value = next
            }
            return nil
        }
    }
}
