import Activity
import Clock
import Configuration
import Console
import Reports
import System

/// The audit logs that a command reads, each with its rotated files.
struct AuditLogs {
    private(set) var sources: [AuditSource]
    /// Files of the logs that were not read, or not to their end, and why.
    private(set) var unread: [String] = []
    /// How the command line names files, for messages.
    private let option: String
    /// Whether a part of the logs may be missing.
    private let mayLack: Bool

    init(files: [String], _ settings: Settings, since: Timestamp?, namedBy option: String, mayLack: Bool) throws {
        (sources, self.option, self.mayLack) = ([], option, mayLack)
        if !files.isEmpty {
            addFiles(files)
        } else {
            switch (settings.audit.destination, settings.audit.file) {
            case (.file, let path?): addFiles([path])
            case (.journal, _): sources = [AuditSource(journalSince: since)]
            case (.stderr, _), (.file, nil):
                throw CommandFailure.usage(
                    "no audit log to read: audit.to is \(settings.audit.destination.rawValue);"
                        + " name a saved log with \(option)")
            }
        }
    }

    // MARK: Files

    private mutating func addFiles(_ paths: [String]) {
        var folders: [String: [String]] = [:]
        var seen: Set<FileIdentity> = []
        // A file has many paths, and counts once. One that can't be looked at is told when it is opened.
        func isNew(_ path: String) -> Bool { InputFile.identity(path).map { seen.insert($0).inserted } ?? true }
        let named = paths.map(NamedLog.init)
        var others: [AuditSource] = []
        for file in named where isNew(file.path) {
            let names = folders[file.folder] ?? Self.names(in: file)
            if file.path != "-" { folders[file.folder] = names }
            let log = RotatedName.base(of: file.name, among: names).map { file.folder + $0 }
            sources.append(
                AuditSource(path: file.path, log: log ?? RotatedName.uncompressed(file.path), isNamed: true))
        }
        for file in named where file.path != "-" {
            for name in folders[file.folder] ?? [] where RotatedName.isRotation(name, of: file.name) {
                guard isNew(file.folder + name) else { continue }
                others.append(AuditSource(path: file.folder + name, log: file.path, isNamed: false))
            }
        }
        // In the order of time, mostly; where it matters, ``order()`` looks at the times.
        sources = others + sources
        for file in named where file.path != "-" {
            for name in folders[file.folder] ?? [] where RotatedName.isLike(name, file.name) {
                let identity = InputFile.identity(file.folder + name)
                guard let identity, seen.insert(identity).inserted else { continue }
                leaveOut(
                    "\(file.folder + name): it begins with the name of the log \(file.name), and is no file that "
                        + "logrotate makes of it; name it too, if it belongs to it")
            }
        }
    }

    private static func names(in file: NamedLog) -> [String] {
        guard file.path != "-" else { return [] }
        do throws(InputError) {
            return try InputFile.names(in: file.folder.isEmpty ? "." : file.folder)
        } catch {
            return []
        }
    }

    private mutating func leaveOut(_ text: String) {
        unread.append(text)
        if unread.count <= Self.toldMax { writeError("rpcwarden: not read: \(DisplayText(text))") }
        if unread.count == Self.toldMax + 1 { writeError("rpcwarden: more files were not read") }
    }

    private static let toldMax = 8

    /// The name of the host for lines without one: the log's, without its folder where it is the only one of the name.
    var hosts: [String] {
        let logs = sources.map { $0.log.isEmpty || $0.log == "-" ? NamedLog("\($0)") : NamedLog($0.log) }
        let places = Dictionary(logs.map { ($0.name, Set([$0.path])) }) { $0.union($1) }
        return logs.map { (places[$0.name]?.count ?? 0) > 1 ? $0.path : $0.name }
    }

    /// Puts the sources in the order of their first events, standard input last: a report follows each host through
    /// time.
    mutating func order() throws {
        guard sources.count > 1 else { return }
        let times = try sources.map { source -> Timestamp? in
            do throws(InputError) {
                return try source.firstTime()
            } catch {
                // The reading of a rotated file tells it.
                guard mustRead(source) else { return nil }
                throw failure(source, error)
            }
        }
        sources = zip(sources, times).enumerated().sorted { left, right in
            let (one, other) = (left.element.1, right.element.1)
            guard one != other else { return left.offset < right.offset }
            guard let one, let other else { return one != nil }
            return one < other
        }.map(\.element.0)
    }

    // MARK: Lines

    /// Reads the sources one after the other. A rotated file counts as far as it can be read, if the logs may lack some.
    ///
    /// - Parameter body: takes an event, or `nil` for a line that is none, and the place of its source.
    mutating func forEachLine(_ body: (LoggedEvent?, Int) -> Void) throws {
        let progress = Progress()
        defer { progress.end() }
        var lines = 0
        for (place, source) in sources.enumerated() {
            do throws(InputError) {
                try source.input().forEachLine { line, isTooLong in
                    lines += 1
                    if lines % Self.progressLines == 0 { progress.note("\(lines) lines, in \(source)") }
                    guard !line.isEmpty || isTooLong else { return }
                    let logged = isTooLong ? nil : LoggedEvent(line: line)
                    body(logged, place)
                    if logged == nil, let next = LoggedEvent(behindTornLine: line) { body(next, place) }
                }
            } catch {
                guard !mustRead(source) else { throw failure(source, error) }
                progress.end()
                leaveOut("\(error.message), after the lines that it gave; restore it, or remove it")
            }
        }
    }

    private static let progressLines = 4096

    private func mustRead(_ source: AuditSource) -> Bool { source.isNamed || !mayLack }

    private func failure(_ source: AuditSource, _ error: InputError) -> CommandFailure {
        .usage("can't read the audit log: \(error.message); \(source.advice(option))")
    }
}

/// A file that may have rotated ones beside it.
private struct NamedLog {
    let path: String
    /// With its slash; empty for the working folder.
    let folder: String
    let name: String

    init(_ path: String) {
        let parts = PathParts(path)
        (self.path, name) = (path, parts.name)
        folder = parts.folder.map { $0 == "/" ? $0 : $0 + "/" } ?? ""
    }
}
