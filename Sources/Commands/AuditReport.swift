import ArgumentParser
import Configuration
import Console
import Daemon
import HostPosture
import HostSurvey
import Policy
import PolicyFile
import Reports
import System

struct AuditReport: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Report from audit logs who used what, who was denied, and what happened to the firewall.",
        discussion: """
            Reads any number of logs, of any number of hosts, with their rotated files; - is standard input. Without \
            a file it reads the log of the `audit` settings. Posture is of the host where the command runs, now.
            """)

    enum Format: String, CaseIterable, ExpressibleByArgument {
        case text, html, json, markdown
    }

    @OptionGroup var configuration: ConfigurationOption
    @OptionGroup var json: JSONFlag

    @Option(
        help: ArgumentHelp(
            "Only events since this time: 90s, 15m, 1h, 7d ago, or a time such as 2026-11-21T08:00:00Z.",
            valueName: "time"))
    var since: String?

    @Option(help: ArgumentHelp("text (the default), html, json or markdown.", valueName: "format"))
    var format: Format?

    @Option(
        help: ArgumentHelp("Write the report to this file as a whole, readable by its owner alone.", valueName: "file"),
        completion: .file())
    var output: String?

    @Flag(name: .customLong("no-posture"), help: "Leave out what doctor says of this host.")
    var leavesOutPosture = false

    @Argument(
        help: ArgumentHelp("Audit logs of JSON lines, or of `journalctl -o json`.", valueName: "file"),
        completion: .file())
    var file: [String] = []

    func run() throws {
        guard !json.isOn || format == nil || format == .json else {
            throw CommandFailure.usage("--json and --format \(format?.rawValue ?? "") contradict each other; give one")
        }
        let since = try since.map(AuditSource.time)
        let load = try load()
        var logs = try AuditLogs(files: file, load.settings, since: since, namedBy: "a FILE", mayLack: true)
        try logs.order()
        let hosts = logs.hosts
        var tally = Tally(since: since)
        try logs.forEachLine { logged, place in
            if let logged { tally.note(logged, source: hosts[place]) } else { tally.skipLine() }
        }
        // Other hosts' rules are known only where their policy is named.
        let isOfThisHost = file.isEmpty || configuration.path != nil
        let knowsRules = isOfThisHost && !load.hasErrors
        let permitted = isOfThisHost ? Report.PermittedLines(rawValue: load.settings.audit.permitted.rawValue) : nil
        let report = Report(
            tally,
            Report.Surroundings(
                created: HostClock.wallClock(), version: Version.text, host: HostSurvey.hostName,
                sources: logs.sources.map(\.description), unread: logs.unread,
                posture: leavesOutPosture ? nil : try posture(),
                rules: knowsRules ? load.rules.map(Report.PolicyRule.init) : nil, permitted: permitted,
                names: load.programNames))
        try write(text(report))
    }

    private func text(_ report: Report) -> String {
        switch json.isOn ? .json : format ?? .text {
        case .text: report.text
        case .html: report.html
        case .json: report.json
        case .markdown: report.markdown
        }
    }

    /// A policy with errors only leaves out what is told of rules.
    private func load() throws -> LoadResult {
        let load = PolicyLoader().load(configurationPath: configuration.path)
        if let path = configuration.path, !load.filesRead.contains(path) { try load.diagnostics.report() }
        return load
    }

    private func posture() throws -> Report.Posture {
        let examination = Examination(try Doctor.facts(configuration, at: nil))
        return Report.Posture(findings: examination.findings, evidence: examination.rpcbindEvidence)
    }

    private func write(_ text: String) throws {
        guard let output, output != "-" else {
            print(text, terminator: "")
            return
        }
        let file = try Self.file(output)
        do throws(StateFileError) {
            try file.write(Array(text.utf8), newMode: 0o600)
        } catch {
            throw Self.unwritable(output, error.errno)
        }
    }

    /// Where the links of `--output` lead: they stay links.
    private static func file(_ output: String) throws -> ReplacedFile {
        do throws(ReplacedFile.Fault) {
            return try ReplacedFile(named: output)
        } catch {
            switch error {
            case .notRegular:
                throw CommandFailure.usage(
                    "--output: \"\(output)\" is no regular file; without --output the report goes to stdout")
            case .linkToNothing:
                throw CommandFailure.usage(
                    "--output: \"\(output)\" is a link to a missing file; name that file, or remove the link")
            case .notOwn(let link, let owner):
                throw CommandFailure.usage(
                    """
                    --output: \(link) is a link of user \(owner), and is not followed; name the file that is meant, or \
                    remove the link
                    """)
            case .unreachable(let cause): throw unwritable(output, cause.code)
            }
        }
    }

    private static func unwritable(_ output: String, _ code: Int32) -> CommandFailure {
        let failure = InputError(subject: output, code: code)
        return .usage("--output: \(failure.message); name a file in a folder that exists and may be written")
    }
}

extension Report.PolicyRule {
    fileprivate init(_ rule: Rule) {
        self.init(label: rule.label, name: rule.name, isStanding: rule.open == .always)
    }
}
