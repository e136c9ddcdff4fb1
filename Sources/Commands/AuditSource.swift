import Clock
import Configuration
import Console
import Reports
import System

/// The source of audit events.
struct AuditSource: CustomStringConvertible {
    enum Place {
        case file(String)
        case journal(since: Timestamp?)
    }

    let place: Place
    /// The path of the log to which the file belongs: of rotated files the one that they were rotated from.
    let log: String
    /// Whether the command line or the configuration names it, rather than the log that it was rotated from.
    let isNamed: Bool

    init(path: String, log: String, isNamed: Bool) {
        (place, self.log, self.isNamed) = (.file(path), log, isNamed)
    }

    init(journalSince since: Timestamp?) { (place, log, isNamed) = (.journal(since: since), "", true) }

    var description: String {
        switch place {
        case .file(let path): path == "-" ? "stdin" : path
        case .journal: "the journal"
        }
    }

    /// - Parameter option: how the command line names files.
    func advice(_ option: String) -> String {
        switch place {
        case .file(let path) where InputFile.exists(path) && RotatedName.decompressor(of: path) != nil:
            "it can't be decompressed to its end; restore it, or leave it out"
        case .file: "name the log with \(option)"
        case .journal:
            "audit.to is journal, which needs journalctl; without a journal use audit: {to: file} or \(option)"
        }
    }

    /// Reads only the unit's own entries: any process may write fields of any name to the journal, except names
    /// that begin with an underscore. What the unit's programs write to stderr is no event, and is passed over.
    func input() throws(InputError) -> InputFile {
        switch place {
        case .file(let path):
            // A file that isn't there is told as such, rather than as a program's failure.
            guard let program = RotatedName.decompressor(of: path), InputFile.exists(path) else {
                return try InputFile(path: path)
            }
            return try InputFile(command: [program, "-dc", "--", path], reading: path)
        case .journal(let since):
            let match = [
                "journalctl", "--output=json", "--quiet", "_SYSTEMD_UNIT=rpcwarden.service", "_TRANSPORT=journal",
            ]
            return try InputFile(command: match + (since.map { ["--since=@\($0.milliseconds / 1000)"] } ?? []))
        }
    }

    /// Of the first lines; `nil`: they are no events, or can be read only once.
    func firstTime() throws(InputError) -> Timestamp? {
        switch place {
        case .journal: return nil
        case .file(let path) where !InputFile.isRegular(path): return nil
        // The end of the pipe ends the program that decompresses.
        case .file: return Self.firstTime(in: try input().read())
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
