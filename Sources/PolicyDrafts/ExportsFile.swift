/// What an exports(5) file says, client by client.
public struct ExportsFile: Hashable, Sendable {
    /// A path exported to a client.
    public struct Entry: Hashable, Sendable {
        public var path: ShownText
        /// As the file has it, without its options.
        public var written: ShownText
        public var client: ExportClient
        public var line: Int
    }

    /// What could not be read, and is therefore exported to nobody.
    public struct Problem: Hashable, Sendable {
        public var line: Int
        public var message: String
    }

    /// Ten times what a large site has; each costs a line of policy at most.
    public static let entriesMax = 65_536
    /// Nobody reads more.
    static let problemsMax = 1000

    public private(set) var entries: [Entry] = []
    public private(set) var problems: [Problem] = []

    public init(_ bytes: [UInt8]) {
        var scanner = ExportsScanner(bytes)
        while entries.count < Self.entriesMax, problems.count < Self.problemsMax {
            switch scanner.next() {
            case .lineEnd: continue
            case .fileEnd: return
            case .mistake(let what, let line):
                guard skipLine(what, line, &scanner) else { return }
            case .breakdown(let what, let line):
                breakDown(what, line)
                return
            case .word(let path, let line):
                guard path.first == UInt8(ascii: "/") else {
                    guard skipLine("\(ShownText(path).quoted) is no absolute path", line, &scanner) else { return }
                    continue
                }
                guard readClients(of: ShownText(path), line, &scanner) else { return }
            }
        }
        problems.append(Problem(line: scanner.line, message: "too many clients or mistakes; nothing after it is read"))
    }

    /// The rest of a line; false where the file can't be followed any further.
    private mutating func readClients(of path: ShownText, _ pathLine: Int, _ scanner: inout ExportsScanner) -> Bool {
        var isExported = false
        while entries.count < Self.entriesMax {
            switch scanner.next() {
            case .lineEnd, .fileEnd:
                if !isExported { add(path, [], .everyone(.implied), pathLine) }
                return true
            case .mistake(let what, let line): return skipLine(what, line, &scanner)
            case .breakdown(let what, let line):
                breakDown(what, line)
                return false
            case .word(let word, let line):
                if let mistake = read(word, of: path, line, &isExported) { return skipLine(mistake, line, &scanner) }
            }
        }
        return true
    }

    /// `client`, `client(options)`, or `-options` for those that follow; what is wrong with it.
    private mutating func read(_ word: [UInt8], of path: ShownText, _ line: Int, _ isExported: inout Bool) -> String? {
        if word.first == UInt8(ascii: "-") { return ExportOptions.mistake(in: word.dropFirst()) }
        isExported = true
        guard let opening = word.firstIndex(of: UInt8(ascii: "(")) else {
            add(path, word[...], ExportClient(word[...]), line)
            return nil
        }
        guard word.firstIndex(of: UInt8(ascii: ")")) == word.count - 1 else {
            return "\(ShownText(word).quoted) has no option list that ends with it; options hold no spaces"
        }
        if let mistake = ExportOptions.mistake(in: word[(opening + 1)...].dropLast()) { return mistake }
        let name = word[..<opening]
        add(path, name, name.isEmpty ? .everyone(.implied) : ExportClient(name), line)
        return nil
    }

    private mutating func add(_ path: ShownText, _ written: ArraySlice<UInt8>, _ client: ExportClient, _ line: Int) {
        entries.append(Entry(path: path, written: ShownText(written), client: client, line: line))
    }

    /// False where the file can't be followed any further.
    private mutating func skipLine(_ what: String, _ line: Int, _ scanner: inout ExportsScanner) -> Bool {
        problems.append(Problem(line: line, message: "\(what); the rest of this line is not read"))
        guard case .breakdown(let what, let line) = scanner.skipLine() else { return true }
        breakDown(what, line)
        return false
    }

    private mutating func breakDown(_ what: String, _ line: Int) {
        problems.append(Problem(line: line, message: "\(what); nothing after it is read"))
    }
}

/// Bytes that somebody else chose, fit for a comment and a terminal: printable ASCII, cut.
public struct ShownText: Hashable, Sendable, CustomStringConvertible, ExpressibleByStringLiteral {
    static let bytesMax = 80

    public let description: String

    public init(_ bytes: some Sequence<UInt8>) {
        var text = ""
        for (index, byte) in bytes.enumerated() {
            guard index < Self.bytesMax else {
                text += "..."
                break
            }
            text += (0x20...0x7e).contains(byte) ? String(UnicodeScalar(byte)) : Self.octal(byte)
        }
        description = text
    }

    public init(stringLiteral text: String) { self.init(text.utf8) }

    /// Between quotes, for a message.
    var quoted: String { "\"\(description)\"" }

    private static func octal(_ byte: UInt8) -> String {
        let digits = String(byte, radix: 8)
        return "\\" + String(repeating: "0", count: 3 - digits.count) + digits
    }
}
