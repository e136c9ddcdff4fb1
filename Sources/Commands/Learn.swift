import ArgumentParser
import Clock
import Configuration
import FoundationEssentials
import Glibc
import PolicyDrafts
import PolicyFile

struct Learn: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the smallest policy that would have permitted the calls in the audit log.",
        discussion: """
            First run the daemon with `mode: observe` until your clients have used every service that they need. The \
            command learns from calls that were permitted or that observe mode let pass, not from calls that were \
            actually denied. Review the draft: it also names clients that scanned this host, and marks them.
            """)

    @OptionGroup var configuration: ConfigurationOption

    @Option(
        help: ArgumentHelp(
            "Only events since this time: 90s, 15m, 1h, 7d ago, or a time such as 2026-11-21T08:00:00Z.",
            valueName: "time"))
    var since: String?

    @Option(
        help: ArgumentHelp(
            "An audit log of JSON lines, with its rotated files; - for stdin. Default: the log of the `audit` settings.",
            valueName: "file"), completion: .file())
    var file: [String] = []

    @Option(
        help: ArgumentHelp(
            "Combine IPv4 clients into prefixes no wider than this, as in /24 (default: /32, none combined).",
            valueName: "/length"))
    var aggregate: String?

    @Option(
        help: ArgumentHelp("The same for IPv6, as in /64 (default: /128, none combined).", valueName: "/length"))
    var aggregateIpv6: String?

    func run() throws {
        let aggregation = Aggregation(
            ipv4Length: try length(aggregate, among: 1...32), ipv6Length: try length(aggregateIpv6, among: 1...128))
        let settings = try settings()
        var reading = AuditReading(
            lessons: ObservedServers(listsOverUDP: settings.limits.listsOverUDP), since: try since.map(time) ?? nil)
        let sources = try AuditSource.sources(files: file, settings, since: reading.since)
        for source in sources {
            do throws(InputError) {
                try reading.read(source)
            } catch {
                throw CommandFailure(
                    message: "can't read the audit log: \(error.message); \(source.advice)", code: ExitStatus.usage)
            }
        }
        let names = PolicyLoader().programNames
        let draft = reading.lessons.draft(aggregation, names: names)
        guard !draft.policy.rules.isEmpty else {
            for warning in draft.warnings { writeError("rpcwarden: warning: \(warning)") }
            let places = sources.map(\.description).joined(separator: ", ")
            throw CommandFailure(
                message:
                    "nothing to learn: \(reading.eventCount) events in \(places); run the daemon with mode: observe",
                code: ExitStatus.usage)
        }
        try printPolicy(draft.policy, warnings: draft.warnings + reading.warnings)
    }

    private func settings() throws -> Settings {
        let load = PolicyLoader().load(configurationPath: configuration.path)
        // The policy may have errors, since a new one is being made.
        guard let path = configuration.path, !load.filesRead.contains(path) else { return load.settings }
        for diagnostic in load.diagnostics { writeError(diagnostic.description) }
        throw CommandFailure(message: nil, code: ExitStatus.usage)
    }

    private func length(_ text: String?, among lengths: ClosedRange<Int>) throws -> Int {
        guard let text else { return lengths.upperBound }
        let digits = text.hasPrefix("/") ? text.dropFirst() : text[...]
        guard let length = Int(digits), lengths.contains(length), String(length) == digits else {
            throw CommandFailure(
                message: "not a prefix length: \"\(text)\"; give /\(lengths.lowerBound) to /\(lengths.upperBound)",
                code: ExitStatus.usage)
        }
        return length
    }

    private func time(_ text: String) throws -> Timestamp {
        if let time = Timestamp(text) { return time }
        guard let duration = Duration(configurationText: text) else {
            throw CommandFailure(
                message: "not a time: \"\(text)\"; give 90s, 15m, 1h, 7d, or a time such as 2026-11-21T08:00:00Z",
                code: ExitStatus.usage)
        }
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Timestamp(milliseconds: Int64(now.tv_sec) * 1000) + (.zero - duration)
    }
}

/// The source of audit events.
enum AuditSource: CustomStringConvertible {
    case file(String)
    case compressed(String)
    case journal(since: Timestamp?)

    static func sources(files: [String], _ settings: Settings, since: Timestamp?) throws -> [AuditSource] {
        if !files.isEmpty { return unique(try files.flatMap(rotated)) }
        switch (settings.audit.destination, settings.audit.file) {
        case (.file, let path?): return try rotated(path).map(source)
        case (.journal, _): return [.journal(since: since)]
        case (.stderr, _), (.file, nil):
            throw CommandFailure(
                message: "no audit log to read: audit.to is \(settings.audit.destination.rawValue);"
                    + " name a saved log with --file", code: ExitStatus.usage)
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
    private static func rotated(_ path: String) throws -> [String] {
        guard path != "-" else { return [path] }
        let slash = path.lastIndex(of: "/")
        let folder = slash.map { String(path[...$0]) } ?? ""
        let name = path[(slash.map { path.index(after: $0) } ?? path.startIndex)...]
        do throws(InputError) {
            let others = try InputFile.names(in: folder.isEmpty ? "." : folder).filter { other in
                guard other.hasPrefix(name) else { return false }
                var rest = other.dropFirst(name.count)
                if rest.hasSuffix(".gz") { rest = rest.dropLast(3) }
                let digits = rest.dropFirst()
                return (rest.first == "." || rest.first == "-") && !digits.isEmpty
                    && digits.utf8.allSatisfy { (0x30...0x39).contains($0) }
            }
            return others.map { folder + $0 } + [path]
        } catch {
            return [path]
        }
    }

    var description: String {
        switch self {
        case .file(let path), .compressed(let path): path == "-" ? "stdin" : path
        case .journal: "the journal"
        }
    }

    var advice: String {
        switch self {
        case .file, .compressed: "name the log with --file"
        case .journal: "audit.to is journal, which needs journalctl; without a journal use audit: {to: file} or --file"
        }
    }

    /// Reads only the unit's own entries: any process may write fields of any name to the journal, except names
    /// that begin with an underscore.
    func input() throws(InputError) -> InputFile {
        switch self {
        case .file(let path): return try InputFile(path: path)
        case .compressed(let path): return try InputFile(command: ["gzip", "-dc", "--", path])
        case .journal(let since):
            let match = ["journalctl", "--output=json", "--quiet", "_SYSTEMD_UNIT=rpcwarden.service"]
            return try InputFile(command: match + (since.map { ["--since=@\($0.milliseconds / 1000)"] } ?? []))
        }
    }
}

/// Parses lines of the audit log, and adds their events to the lessons.
struct AuditReading {
    var lessons: ObservedServers
    let since: Timestamp?
    private(set) var eventCount = 0
    private var unreadable = 0

    init(lessons: ObservedServers, since: Timestamp?) {
        self.lessons = lessons
        self.since = since
    }

    mutating func read(_ source: AuditSource) throws(InputError) {
        let decoder = JSONDecoder()
        try source.input().forEachLine { line, isTooLong in
            guard !isTooLong else {
                unreadable += 1
                return
            }
            guard !line.isEmpty else { return }
            do {
                note(try decoder.decode(LoggedEvent.self, from: Data(line)))
            } catch {
                unreadable += 1
            }
        }
    }

    private mutating func note(_ logged: LoggedEvent) {
        if let since, logged.time < since { return }
        eventCount += 1
        lessons.note(logged.event, at: logged.time)
    }

    var warnings: [String] { unreadable == 0 ? [] : ["\(unreadable) lines are not audit events, and were skipped"] }
}
