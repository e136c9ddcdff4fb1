/// The changes that `setup` has made, so that `--undo` undoes these and no others; kept in a file, one line each.
public struct SetupRecord: Hashable, Sendable {
    public enum Entry: Hashable, Sendable {
        case folder(String)
        /// With ``SetupRecord/mark(of:)`` of the contents written.
        case file(String, mark: String)
        /// Lines that setup has added to a file of others: ``SetupFiles/rquotadLines(_:)``.
        case lines(String)
        case user(String)
        case enabled(String)
    }

    public private(set) var entries: [Entry] = []

    public init() {}

    /// Lines that can't be parsed are ignored: a truncated record still undoes the entries that it holds.
    public init(text: String) {
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ", maxSplits: 2).map(String.init)
            switch (words.first, words.count) {
            case ("folder", 2): add(.folder(words[1]))
            case ("file", 3): add(.file(words[2], mark: words[1]))
            case ("lines", 2): add(.lines(words[1]))
            case ("user", 2): add(.user(words[1]))
            case ("enabled", 2): add(.enabled(words[1]))
            default: continue
            }
        }
    }

    public mutating func add(_ entry: Entry) {
        if case .file(let path, _) = entry {
            entries.removeAll { if case .file(path, _) = $0 { true } else { false } }
        }
        if !entries.contains(entry) { entries.append(entry) }
    }

    /// The record without the entries that satisfy a condition.
    public func without(_ isTakenBack: (Entry) -> Bool) -> Self {
        var record = self
        record.entries.removeAll(where: isTakenBack)
        return record
    }

    public var isEmpty: Bool { entries.isEmpty }

    public var text: String {
        let lines = entries.map { entry in
            switch entry {
            case .folder(let path): "folder \(path)"
            case .file(let path, let mark): "file \(mark) \(path)"
            case .lines(let path): "lines \(path)"
            case .user(let name): "user \(name)"
            case .enabled(let unit): "enabled \(unit)"
            }
        }
        return "# The changes of `rpcwarden setup`; `rpcwarden setup --undo` reads them.\n"
            + lines.map { $0 + "\n" }.joined()
    }

    /// FNV-1a of 64 bits: detects an edited file; no protection against an attacker.
    public static func mark(of bytes: some Sequence<UInt8>) -> String {
        let hash = bytes.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
