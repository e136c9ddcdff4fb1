import Addresses
import AuditTrail
import Clock
import HostPosture
import Policy

/// The evidence of audit logs, counted and sorted; each writer of a format tells the same.
public final class Report {
    /// What doctor says of this host, here and now.
    public struct Posture {
        public var findings: [Finding]
        public var evidence: ControlEvidence

        public init(findings: [Finding], evidence: ControlEvidence) {
            (self.findings, self.evidence) = (findings, evidence)
        }
    }

    /// A rule of this host's policy.
    public struct PolicyRule: Hashable, Sendable {
        /// As the audit log tells it: `policy.yaml:14 "workstations mount NFSv3"`.
        public var label: String
        public var name: String
        /// `open: always`: its clients need no look-up, so the log can't tell whether it is used.
        public var isStanding: Bool

        public init(label: String, name: String, isStanding: Bool) {
            (self.label, self.name, self.isStanding) = (label, name, isStanding)
        }
    }

    /// The permitted calls that have a line: `audit.permitted`.
    public enum PermittedLines: String, Sendable {
        case all, first
        case noCall = "none"
    }

    /// What doesn't come from the log.
    public struct Surroundings {
        public var created: Timestamp
        /// Of rpcwarden.
        public var version: String
        /// The host where the report is made.
        public var host: String
        /// The files or the journal.
        public var sources: [String]
        /// Files of the logs that were not read, or not to their end, and why.
        public var unread: [String]
        public var posture: Posture?
        /// `nil`: no policy was read.
        public var rules: [PolicyRule]?
        /// `nil`: the settings of the logs' hosts aren't known.
        public var permitted: PermittedLines?
        public var names: ProgramNames

        public init(
            created: Timestamp, version: String, host: String, sources: [String], unread: [String] = [],
            posture: Posture? = nil, rules: [PolicyRule]? = nil, permitted: PermittedLines? = nil,
            names: ProgramNames = ProgramNames()
        ) {
            (self.created, self.version, self.host) = (created, version, host)
            (self.sources, self.unread) = (sources, unread)
            (self.posture, self.rules, self.permitted, self.names) = (posture, rules, permitted, names)
        }
    }

    let tally: Tally
    let surroundings: Surroundings

    let lookups: [(key: RowKey, value: Row)]
    let denials: [(key: RowKey, value: Row)]
    let probes: [(key: RowKey, value: Row)]
    let enumerations: [(key: RowKey, value: Row)]
    let rules: [(key: RowKey, value: Row)]
    /// Of both kinds, in the order of time.
    let gaps: [GapItem]
    /// Each is as long as ``Timeline/width`` says.
    let hours: [(key: Int64, value: Timeline.Hour)]
    /// At the end of each of them.
    let grantsAlive: [Int]

    public init(_ tally: Tally, _ surroundings: Surroundings) {
        var tally = tally
        tally.end()
        self.tally = tally
        self.surroundings = surroundings
        lookups = tally.lookups.sorted
        denials = tally.denials.sorted
        probes = tally.probes.sorted
        enumerations = tally.enumerations.sorted
        rules = tally.rules.sorted
        let gaps = tally.gaps.items + tally.suppressions.items
        self.gaps = Rank.order(
            gaps.indices.map { place in
                Rank(first: Int(-gaps[place].from.milliseconds), second: -gaps[place].host, texts: [], place: place)
            }
        ).map { gaps[$0] }
        let hours = tally.timeline.hours
        self.hours = hours.keys.sorted().map { ($0, hours[$0] ?? Timeline.Hour()) }
        var alive = tally.liveGrants.earlierCount
        grantsAlive = self.hours.map { hour in
            alive += hour.value.grantsChange
            return alive
        }
    }

    // MARK: Names

    func host(_ place: Int) -> String { tally.hostNames[place] }

    func name(of program: Program?) -> String? {
        program.flatMap { tally.programNames[$0] ?? surroundings.names.name(of: $0) }
    }

    /// The names of the hosts of a row.
    func hosts(_ bits: UInt64) -> [String] {
        let shown = Row.hostsShownMax
        return (0...shown).filter { bits & (1 << $0) != 0 }.map { place in
            place == shown ? "(others)" : host(Int(place))
        }.sorted()
    }

    func count(_ kind: AuditEvent.Kind) -> Int { tally.events[kind] ?? 0 }

    // MARK: Permitted calls

    /// Hosts that opened ports and logged no permitted call, as with `audit.permitted: none`.
    var hostsWithoutPermitted: [String] {
        tally.hosts.filter { $0.value.granted > 0 && $0.value.permitted == 0 }.map { host($0.key) }.sorted()
    }

    /// Whether permitted calls have no line, at some host at least: what isn't in the log may still have been used.
    var lacksPermitted: Bool { surroundings.permitted == .some(.noCall) || !hostsWithoutPermitted.isEmpty }

    /// Lines that may have told permitted calls, and were left out.
    var permittedSuppressed: Int {
        (tally.suppressed[AuditEvent.Kind.permitted.rawValue] ?? 0)
            .addingSaturated(tally.suppressed[Tally.unwritten] ?? 0)
    }

    // MARK: Rules

    /// The rules that the log doesn't name; `nil`: no policy was read, or permitted calls have no line.
    var rulesUnused: [PolicyRule]? { unseenRules.map { $0.filter { !$0.isStanding } } }

    /// Rules with `open: always` that no look-up used: their clients need none.
    var rulesUnseen: [PolicyRule]? { unseenRules.map { $0.filter(\.isStanding) } }

    /// A rule may have moved in its file since it was logged: its name decides, too.
    private var unseenRules: [PolicyRule]? {
        guard let rules = surroundings.rules, !lacksPermitted else { return nil }
        let labels = Set(tally.rules.rows.compactMap(\.key.word))
        let names = Set(labels.compactMap(Self.ruleName))
        return rules.filter { rule in
            !Self.writtenForms(of: rule.label).contains { labels.contains($0.cut(AuditEvent.detailBytesMax)) }
                && !Self.writtenForms(of: rule.name).contains(where: names.contains)
        }
    }

    /// The text as a log may have it: as it is, or as older versions wrote what isn't ASCII, byte by byte: as numbers
    /// in a file, as question marks in the journal.
    private static func writtenForms(of text: String) -> [String] {
        guard !text.utf8.allSatisfy({ (0x20...0x7e).contains($0) }) else { return [text] }
        var (numbers, marks) = (String.UnicodeScalarView(), "")
        for byte in text.utf8 {
            numbers.append(Unicode.Scalar(byte))
            marks += (0x20...0x7e).contains(byte) ? String(Unicode.Scalar(byte)) : "?"
        }
        return [text, String(numbers), marks]
    }

    /// What is in quotes.
    private static func ruleName(_ label: String) -> String? {
        guard let start = label.firstIndex(of: "\""), let end = label.lastIndex(of: "\""), start < end else {
            return nil
        }
        return String(label[label.index(after: start)..<end])
    }

    /// For how long tables were not as they should be.
    var tamperedMilliseconds: Int64 { tally.tampering.items.reduce(0) { $0 + ($1.milliseconds ?? 0) } }
}

extension TamperingItem {
    var milliseconds: Int64? { to.map { $0.milliseconds - from.milliseconds } }
}

extension GapItem.Cause {
    var text: String {
        switch self {
        case .stopped: "the daemon was stopped"
        case .crash: "a start without a stop before it"
        case .silence: "no line for more than a day"
        case .suppressed(let count): "\(counted(count, "line")) beyond the limits of the log"
        }
    }

    /// For programs.
    var name: String {
        switch self {
        case .stopped: "stopped"
        case .crash: "no-stop"
        case .silence: "silence"
        case .suppressed: "suppressed"
        }
    }
}

/// `1,234,567`.
func grouped(_ number: Int) -> String {
    var digits = Array(String(number.magnitude))
    var place = digits.count - 3
    while place > 0 {
        digits.insert(",", at: place)
        place -= 3
    }
    return (number < 0 ? "-" : "") + String(digits)
}

/// `1 client`, `2,000 clients`.
func counted(_ count: Int, _ noun: String, _ plural: String? = nil) -> String {
    "\(grouped(count)) \(count == 1 ? noun : plural ?? noun + "s")"
}

/// `12`, `0.25`.
func secondsText(_ milliseconds: Int64) -> String {
    var digits = String(milliseconds % 1000 + 1000).dropFirst()
    while digits.last == "0" { digits = digits.dropLast() }
    return String(milliseconds / 1000) + (digits.isEmpty ? "" : "." + digits)
}
