import Glibc
import HostPosture
import Portmapper
import System

/// Carries out a plan step by step, and records each step before it is done.
public struct SetupRunner {
    public struct Failure: Error, CustomStringConvertible {
        public var description: String
    }

    private let survey: HostSurvey
    private var record: SetupRecord
    private let before: [Registration]?

    /// `systemctl restart` waits for the services that it restarts.
    private static let patience: Duration = .seconds(120)
    private let patienceForRegistrations: Duration

    /// - Parameter patience: services register again some time after their restart.
    public init(_ survey: HostSurvey, _ facts: SetupFacts, patienceForRegistrations patience: Duration = .seconds(5)) {
        patienceForRegistrations = patience
        self.survey = survey
        record = facts.record
        before = facts.host.registrations
    }

    /// - Returns: steps left to the user; `nil` if there are none.
    public mutating func carryOut(_ action: SetupPlan.Action, recording entries: [SetupRecord.Entry]) throws(Failure)
        -> String?
    {
        try stayInside(action)
        // The record's own folder is made before there can be a record in it.
        if case .makeFolder(let path) = action { try makeFolder(path) }
        try remember(entries)
        switch action {
        case .makeFolder: return nil
        case .writeFile(let path, let text): try Self.write(text, to: path)
        case .removeFile(let path):
            guard unlink(path) == 0 || errno == ENOENT else { throw Self.failure("remove", path) }
        case .moveFile(let path, let new):
            try Self.move(path, to: new)
        case .removeFolder(let path):
            guard rmdir(path) == 0 || [ENOENT, ENOTEMPTY, EEXIST].contains(errno) else {
                throw Self.failure("remove", path)
            }
        case .run(let words): try run(words)
        case .compareRegistrations: return lostRegistrations()
        }
        return nil
    }

    /// Unlike rename, link replaces nothing. Where the name is taken, a number behind it makes another.
    private static func move(_ path: String, to new: String) throws(Failure) {
        for number in 1...moveNamesMax {
            let name = number == 1 ? new : "\(new)-\(number)"
            if link(path, name) == 0 { break }
            guard errno == EEXIST, number < moveNamesMax else { throw failure("move", "\(path) to \(name)") }
        }
        guard unlink(path) == 0 else { throw failure("remove", path) }
    }

    private static let moveNamesMax = 100

    private mutating func remember(_ entries: [SetupRecord.Entry]) throws(Failure) {
        guard !entries.isEmpty else { return }
        for entry in entries { record.add(entry) }
        let path = survey.root.path + SetupFiles.record
        try stayInside(.writeFile(path, text: ""))
        // A link is no record, and is replaced.
        try Self.replace(path, with: record.text, mode: 0o644)
    }

    private func run(_ words: [String]) throws(Failure) {
        let result = Subcommand(words: words, searchPath: survey.searchPath, patience: Self.patience).run()
        guard !result.isSuccess else { return }
        let text = (result.errors.isEmpty ? result.output : result.errors).split(separator: "\n").joined(
            separator: "; ")
        throw Failure(
            description: "`\(words.joined(separator: " "))` failed with exit status \(result.status): \(text)")
    }

    private func lostRegistrations() -> String? {
        guard let before else { return nil }
        let question = RegistrationQuestion(path: survey.root.path + survey.expected.rpcbindSocket)
        let deadline = ContinuousClock.now + patienceForRegistrations
        while true {
            let lost: [Registration]?
            switch question.ask() {
            case .list(let list):
                let now = Set(list.compactMap(Registration.init).map(Self.key))
                lost = before.filter { $0.program != .portmapper && !now.contains(Self.key($0)) }
            case .tooLong: return "rpcbind has too many registrations to compare; `rpcwarden doctor` says more"
            case .none: lost = nil
            }
            if lost?.isEmpty == true { return nil }
            guard ContinuousClock.now >= deadline else {
                usleep(100_000)
                continue
            }
            guard let lost else {
                return
                    "rpcbind doesn't answer at \(question.path); see `systemctl status rpcbind.socket rpcbind.service`"
            }
            let programs = Set(lost.map(\.program)).sorted()
            return """
                \(lost.count) registrations are lost (programs \(programs.map(\.description).joined(separator: ", "))); \
                restart \(SetupPlan.services(of: programs).joined(separator: ", "))
                """
        }
    }

    private static func key(_ registration: Registration) -> String {
        "\(registration.program) \(registration.version) \(registration.netID.rawValue)"
    }

    // MARK: Files

    /// Refuses links out of an image: its absolute links would lead to this host's own files.
    private func stayInside(_ action: SetupPlan.Action) throws(Failure) {
        guard !survey.root.path.isEmpty else { return }
        var path: String
        switch action {
        case .makeFolder(let place), .writeFile(let place, _), .removeFile(let place),
            .moveFile(let place, _), .removeFolder(let place):
            path = place
        case .run, .compareRegistrations: return
        }
        let inside = resolvedPath(survey.root.path) ?? survey.root.path
        // A missing path is made beneath its nearest existing folder.
        while path.count > survey.root.path.count {
            if let real = resolvedPath(path) {
                guard real.hasPrefix(inside + "/") else {
                    throw Failure(description: "\(path) leads out of the image, to \(real); make that link relative")
                }
                return
            }
            path = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
        }
    }

    private func makeFolder(_ path: String) throws(Failure) {
        // Makes each missing folder above it, too: an image may lack /var/lib.
        var end = path.index(after: path.startIndex)
        while end <= path.endIndex {
            let next = path[end...].firstIndex(of: "/") ?? path.endIndex
            let part = String(path[..<next])
            // Mode 0755 whatever the umask: the daemon doesn't run as root, and must reach its own folder beneath.
            let isMade = mkdir(part, 0o755) == 0 && chmod(part, 0o755) == 0
            guard isMade || errno == EEXIST else { throw Self.failure("make folder", part) }
            guard next != path.endIndex else { return }
            end = path.index(after: next)
        }
    }

    /// The administrator's file keeps its owner and mode, and stays where a link leads.
    private static func write(_ text: String, to path: String) throws(Failure) {
        let file: ReplacedFile
        do throws(ReplacedFile.Fault) { file = try ReplacedFile(named: path) } catch {
            throw Failure(description: "can't write \(path): \(reason(error))")
        }
        do throws(StateFileError) { try file.write(Array(text.utf8), newMode: 0o644) } catch {
            throw Failure(description: "can't write \(path): \(error)")
        }
    }

    private static func reason(_ fault: ReplacedFile.Fault) -> String {
        switch fault {
        // systemd takes a link to /dev/null as a mask.
        case .notRegular: "it is no regular file, or a link to none; remove it"
        case .linkToNothing: "it is a link to a missing file; make that file, or remove the link"
        case .notOwn(let link, let owner):
            "\(link) is a link of user \(owner), and is not followed; remove it, or chown -h root \(link)"
        case .unreachable(let error): "\(error)"
        }
    }

    /// In one step: a reader sees either the old file or the new one.
    private static func replace(_ path: String, with text: String, mode: mode_t) throws(Failure) {
        do throws(StateFileError) { try StateFile(path: path, mode: mode).write(Array(text.utf8)) } catch {
            throw Failure(description: "can't write \(path): \(error)")
        }
    }

    private static func failure(_ what: String, _ path: String) -> Failure {
        Failure(
            description: "can't \(what) \(path): \(Errno())")
    }
}
