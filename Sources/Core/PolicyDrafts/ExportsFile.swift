/// The contents of an exports(5) file, client by client.
public struct ExportsFile: Hashable, Sendable {
    /// A path exported to a client.
    public struct Entry: Hashable, Sendable {
        public var path: ShownText
        /// The client as the file has it, without its options.
        public var written: ShownText
        public var client: ExportClient
        /// A note for people about the reading of the client.
        public var note: String?
        public var line: Int
    }

    /// A part that could not be read, and is therefore exported to no client.
    public struct Problem: Hashable, Sendable {
        public enum Severity: String, Hashable, Sendable {
            /// The file violates exports(5).
            case error
            /// The part may be valid, but rpcwarden doesn't take it.
            case warning
        }

        public var severity: Severity
        public var line: Int
        /// Bytes, counted from 1.
        public var column: Int
        public var message: String
    }

    /// Ten times the entries of a large site; each costs a line of policy at most.
    public static let entriesMax = 65_536
    /// More problems than a person reads.
    static let problemsMax = 1000

    public private(set) var entries: [Entry] = []
    public private(set) var problems: [Problem] = []
    /// False if the rest of the file couldn't be read: its clients are not known.
    public private(set) var isWhole = true

    public init(_ bytes: [UInt8]) {
        var scanner = ExportsScanner(bytes)
        while entries.count < Self.entriesMax, problems.count < Self.problemsMax {
            switch scanner.next() {
            case .lineEnd: continue
            case .fileEnd:
                noteEnd(scanner)
                return
            case .mistake(let what, let place):
                guard skipLine(Mistake(what), place, &scanner) else { return }
            case .breakdown(let what, let place):
                breakDown(what, place, scanner)
                return
            case .word(let path, let place):
                if let mistake = Self.mistake(inPath: path) {
                    guard skipLine(mistake, place, &scanner) else { return }
                    continue
                }
                guard readClients(of: ShownText(path), place, &scanner) else { return }
            }
        }
        breakDown("too many clients or mistakes", scanner.place, scanner)
    }

    private static func mistake(inPath path: [UInt8]) -> Mistake? {
        if path == Array("V4:".utf8) { return Mistake(BSDExports.advice([]), .warning) }
        return path.first == UInt8(ascii: "/") ? nil : Mistake("\(ShownText(path).quoted) is not an absolute path")
    }

    /// Reads the rest of a line; false if the file can't be followed any further.
    private mutating func readClients(
        of path: ShownText, _ pathPlace: ExportsScanner.Place, _ scanner: inout ExportsScanner
    ) -> Bool {
        var isExported = false
        while entries.count < Self.entriesMax {
            switch scanner.next() {
            case .lineEnd, .fileEnd:
                if !isExported { add(path, [], .everyone(.implied), pathPlace.line) }
                return true
            case .mistake(let what, let place): return skipLine(Mistake(what), place, &scanner)
            case .breakdown(let what, let place):
                breakDown(what, place, scanner)
                return false
            case .word(let word, let place) where BSDExports.isOption(word):
                return skipForeignLine(word, place, &scanner)
            case .word(let word, let place):
                guard let mistake = read(word, of: path, place.line, &isExported) else { continue }
                return skipLine(mistake, place, &scanner)
            }
        }
        return true
    }

    /// Reads `client`, `client(options)`, or `-options` for the clients that follow. Returns the mistake in it.
    private mutating func read(_ word: [UInt8], of path: ShownText, _ line: Int, _ isExported: inout Bool) -> Mistake? {
        if word.first == UInt8(ascii: "-") { return Self.mistake(inOptions: word.dropFirst()) }
        isExported = true
        guard let opening = word.firstIndex(of: UInt8(ascii: "(")) else {
            add(path, word[...], line)
            return nil
        }
        guard word.firstIndex(of: UInt8(ascii: ")")) == word.count - 1 else {
            return Mistake(
                "\(ShownText(word).quoted) doesn't end in a complete option list; write client(options) without spaces")
        }
        if let mistake = Self.mistake(inOptions: word[(opening + 1)...].dropLast()) { return mistake }
        let name = word[..<opening]
        if name.isEmpty { add(path, name, .everyone(.implied), line) } else { add(path, name, line) }
        return nil
    }

    /// A warning, because a newer nfs-utils may have more options.
    private static func mistake(inOptions list: ArraySlice<UInt8>) -> Mistake? {
        ExportOptions.mistake(in: list).map { Mistake($0, .warning) }
    }

    private mutating func add(_ path: ShownText, _ written: ArraySlice<UInt8>, _ line: Int) {
        let (client, note) = ExportClient.read(written)
        add(path, written, client, note: note, line)
    }

    private mutating func add(
        _ path: ShownText, _ written: ArraySlice<UInt8>, _ client: ExportClient, note: String? = nil, _ line: Int
    ) {
        entries.append(Entry(path: path, written: ShownText(written), client: client, note: note, line: line))
    }

    /// A mistake in a line.
    private struct Mistake {
        var message: String
        var severity: Problem.Severity

        init(_ message: String, _ severity: Problem.Severity = .error) {
            (self.message, self.severity) = (message, severity)
        }
    }

    private mutating func add(_ mistake: Mistake, _ place: ExportsScanner.Place, _ scanner: ExportsScanner) {
        problems.append(
            Problem(
                severity: mistake.severity, line: place.line, column: scanner.column(of: place),
                message: mistake.message))
    }

    /// Skips the line; false if the file can't be followed any further.
    private mutating func skipLine(
        _ mistake: Mistake, _ place: ExportsScanner.Place, _ scanner: inout ExportsScanner
    ) -> Bool {
        add(
            Mistake("\(mistake.message); the rest of this line is not read", mistake.severity), place, scanner)
        guard case .breakdown(let what, let place) = scanner.skipLine() else { return true }
        breakDown(what, place, scanner)
        return false
    }

    /// Skips a line of another system's exports(5); false if the file can't be followed any further.
    private mutating func skipForeignLine(
        _ word: [UInt8], _ place: ExportsScanner.Place, _ scanner: inout ExportsScanner
    ) -> Bool {
        var words = [word]
        while true {
            switch scanner.next() {
            case .word(let next, _):
                if words.count < BSDExports.wordsMax { words.append(next) }
            case .mistake: continue
            case .lineEnd, .fileEnd:
                add(Mistake(BSDExports.advice(words), .warning), place, scanner)
                return true
            case .breakdown(let what, let place):
                breakDown(what, place, scanner)
                return false
            }
        }
    }

    private mutating func breakDown(_ what: String, _ place: ExportsScanner.Place, _ scanner: ExportsScanner) {
        add(Mistake("\(what); nothing after it is read"), place, scanner)
        isWhole = false
    }

    private mutating func noteEnd(_ scanner: ExportsScanner) {
        guard scanner.endsInContinuation else { return }
        add(
            Mistake("the last line ends in a backslash, and nothing follows: is a client missing?", .warning),
            scanner.place, scanner)
    }
}

/// Bytes from an untrusted file, made fit for a comment and a terminal: printable ASCII, cut.
public struct ShownText: Hashable, Sendable, CustomStringConvertible, ExpressibleByStringLiteral {
    static let bytesMax = 80
    /// PATH_MAX: the name of a file is shown whole.
    static let fileBytesMax = 4096

    public let description: String

    public init(_ bytes: some Sequence<UInt8>) { self.init(bytes, max: Self.bytesMax) }

    static func file(_ name: String) -> Self { Self(name.utf8, max: fileBytesMax) }

    private init(_ bytes: some Sequence<UInt8>, max bytesMax: Int) {
        var text = ""
        for (index, byte) in bytes.enumerated() {
            guard index < bytesMax else {
                text += "..."
                break
            }
            text += (0x20...0x7e).contains(byte) ? String(UnicodeScalar(byte)) : Self.octal(byte)
        }
        description = text
    }

    public init(stringLiteral text: String) { self.init(text.utf8) }

    /// The text between quotes, for a message.
    var quoted: String { "\"\(description)\"" }

    private static func octal(_ byte: UInt8) -> String {
        let digits = String(byte, radix: 8)
        return "\\" + String(repeating: "0", count: 3 - digits.count) + digits
    }
}
