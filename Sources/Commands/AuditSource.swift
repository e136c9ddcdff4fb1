import Clock
import Configuration
import Console
import PolicyFile
import Reports
import System

/// The source of audit events.
enum AuditSource: CustomStringConvertible {
    case file(String)
    case compressed(String)
    case journal(since: Timestamp?)

    /// - Parameter option: how the command line names files, for messages.
    static func sources(
        files: [String], _ settings: Settings, since: Timestamp?, namedBy option: String
    ) throws -> [AuditSource] {
        if !files.isEmpty { return unique(files.flatMap(rotated)) }
        switch (settings.audit.destination, settings.audit.file) {
        case (.file, let path?): return rotated(path).map(source)
        case (.journal, _): return [.journal(since: since)]
        case (.stderr, _), (.file, nil):
            throw CommandFailure.usage(
                "no audit log to read: audit.to is \(settings.audit.destination.rawValue);"
                    + " name a saved log with \(option)")
        }
    }

    private static func unique(_ paths: [String]) -> [AuditSource] {
        var seen: Set<String> = []
        return paths.filter { seen.insert($0).inserted }.map(source)
    }

    private static func source(_ path: String) -> AuditSource {
        path.hasSuffix(".gz") ? .compressed(path) : .file(path)
    }

    /// The file, and its rotated versions by logrotate(8): `FILE.1`, `FILE.2.gz`, `FILE-20261121`.
    private static func rotated(_ path: String) -> [String] {
        guard path != "-" else { return [path] }
        let slash = path.lastIndex(of: "/")
        let folder = slash.map { String(path[...$0]) } ?? ""
        let name = path[(slash.map { path.index(after: $0) } ?? path.startIndex)...]
        do throws(InputError) {
            let others = try InputFile.names(in: folder.isEmpty ? "." : folder).filter { other in
                other.hasPrefix(name) && other != name && withoutRotation(other) == name
            }
            return others.map { folder + $0 } + [path]
        } catch {
            return [path]
        }
    }

    /// The name without what logrotate(8) added to it.
    private static func withoutRotation(_ name: some StringProtocol) -> String {
        let stem = name.hasSuffix(".gz") ? name.dropLast(3) : name[...]
        guard let mark = stem.lastIndex(where: { $0 == "." || $0 == "-" }) else { return String(name) }
        let digits = stem[stem.index(after: mark)...]
        return String(!digits.isEmpty && digits.utf8.allSatisfy { (0x30...0x39).contains($0) } ? stem[..<mark] : stem)
    }

    var description: String {
        switch self {
        case .file(let path), .compressed(let path): path == "-" ? "stdin" : path
        case .journal: "the journal"
        }
    }

    /// The name of the host for lines without one: the file's, without its folder where it is the only one of the name.
    static func hosts(of sources: [AuditSource]) -> [String] {
        let paths = sources.map { withoutRotation($0.description) }
        let names = paths.map { path in
            String(path[(path.lastIndex(of: "/").map(path.index(after:)) ?? path.startIndex)...])
        }
        let places = Dictionary(zip(names, paths).map { ($0, Set([$1])) }) { $0.union($1) }
        return zip(names, paths).map { name, path in (places[name]?.count ?? 0) > 1 ? path : name }
    }

    private func advice(_ option: String) -> String {
        switch self {
        case .file, .compressed: "name the log with \(option)"
        case .journal:
            "audit.to is journal, which needs journalctl; without a journal use audit: {to: file} or \(option)"
        }
    }

    /// Reads only the unit's own entries: any process may write fields of any name to the journal, except names
    /// that begin with an underscore. What the unit's programs write to stderr is no event, and is passed over.
    private func input() throws(InputError) -> InputFile {
        switch self {
        case .file(let path): return try InputFile(path: path)
        case .compressed(let path): return try InputFile(command: ["gzip", "-dc", "--", path])
        case .journal(let since):
            let match = [
                "journalctl", "--output=json", "--quiet", "_SYSTEMD_UNIT=rpcwarden.service", "_TRANSPORT=journal",
            ]
            return try InputFile(command: match + (since.map { ["--since=@\($0.milliseconds / 1000)"] } ?? []))
        }
    }

    /// Reads the sources one after the other.
    ///
    /// - Parameter body: takes an event, or `nil` for a line that is none, and the place of its source.
    static func forEachLine(
        of sources: [AuditSource], namedBy option: String, _ body: (LoggedEvent?, Int) -> Void
    ) throws {
        let progress = Progress()
        defer { progress.end() }
        var lines = 0
        for (place, source) in sources.enumerated() {
            do throws(InputError) {
                try source.input().forEachLine { line, isTooLong in
                    lines += 1
                    if lines % progressLines == 0 { progress.note("\(lines) lines, in \(source)") }
                    guard !line.isEmpty || isTooLong else { return }
                    body(isTooLong ? nil : LoggedEvent(line: line), place)
                }
            } catch {
                throw CommandFailure.usage("can't read the audit log: \(error.message); \(source.advice(option))")
            }
        }
    }

    private static let progressLines = 4096

    /// The sources by the time of their first event, standard input last: a report follows each host through time.
    static func ordered(_ sources: [AuditSource], namedBy option: String) throws -> [AuditSource] {
        guard sources.count > 1 else { return sources }
        let times = try sources.map { source in
            do throws(InputError) {
                return try source.firstTime()
            } catch {
                throw CommandFailure.usage("can't read the audit log: \(error.message); \(source.advice(option))")
            }
        }
        return zip(sources, times).enumerated().sorted { left, right in
            let (one, other) = (left.element.1, right.element.1)
            guard one != other else { return left.offset < right.offset }
            guard let one, let other else { return one != nil }
            return one < other
        }.map(\.element.0)
    }

    /// Of the first lines; `nil`: they are no events, or can be read only once.
    private func firstTime() throws(InputError) -> Timestamp? {
        switch self {
        case .journal: return nil
        case .file(let path) where !InputFile.isRegular(path): return nil
        case .file(let path): return Self.firstTime(in: try InputFile(path: path).read())
        case .compressed(let path):
            // The end of the pipe ends gzip.
            return Self.firstTime(in: try InputFile(command: ["gzip", "-dc", "--", path]).read())
        }
    }

    private static func firstTime(in bytes: [UInt8]) -> Timestamp? {
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            if let logged = LoggedEvent(line: Array(line)) { return logged.time }
        }
        return nil
    }

    /// A time of `--since`.
    static func time(_ text: String) throws -> Timestamp {
        if let time = Timestamp(text) { return time }
        guard let duration = Duration(configurationText: text) else {
            throw CommandFailure.usage(
                "not a time: \"\(text)\"; give 90s, 15m, 1h, 7d, or a time such as 2026-11-21T08:00:00Z")
        }
        return HostClock.wallClock() + (.zero - duration)
    }
}
