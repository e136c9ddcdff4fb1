import ArgumentParser
import Configuration
import Console
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
        let since = try since.map(AuditSource.time)
        var logs = try AuditLogs(files: file, settings, since: since, namedBy: "--file", mayLack: false)
        var lessons = ObservedServers(listsOverUDP: settings.limits.listsOverUDP)
        var (eventCount, unreadableCount) = (0, 0)
        try logs.forEachLine { logged, _ in
            guard let logged else {
                unreadableCount += 1
                return
            }
            if let since, logged.time < since { return }
            eventCount += 1
            lessons.note(logged.event, at: logged.time)
        }
        let names = PolicyLoader().programNames
        let draft = lessons.draft(aggregation, names: names)
        guard !draft.policy.rules.isEmpty else {
            for warning in draft.warnings { writeError("rpcwarden: warning: \(warning)") }
            let places = logs.sources.map(\.description).joined(separator: ", ")
            throw CommandFailure.usage(
                """
                nothing to learn: none of \(eventCount) events in \(places) is a client's call that was answered; let \
                clients mount while the daemon runs with mode: observe, then try again
                """)
        }
        let lines =
            unreadableCount == 1
            ? "1 line is no audit event, and was" : "\(unreadableCount) lines are not audit events, and were"
        let unreadable = unreadableCount == 0 ? [] : ["\(lines) skipped"]
        try printPolicy(draft.policy, warnings: draft.warnings + unreadable)
    }

    private func settings() throws -> Settings {
        let load = PolicyLoader().load(configurationPath: configuration.path)
        // The policy may have errors, since a new one is being made.
        if let path = configuration.path, !load.filesRead.contains(path) { try load.diagnostics.report() }
        return load.settings
    }

    private func length(_ text: String?, among lengths: ClosedRange<Int>) throws -> Int {
        guard let text else { return lengths.upperBound }
        let digits = text.hasPrefix("/") ? text.dropFirst() : text[...]
        guard let length = Int(digits), lengths.contains(length), String(length) == digits else {
            throw CommandFailure.usage(
                "not a prefix length: \"\(text)\"; give /\(lengths.lowerBound) to /\(lengths.upperBound)")
        }
        return length
    }
}
