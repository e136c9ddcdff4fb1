/// The screen's contents, the most important on top; nothing is wider or higher than the size given.
public struct Screen {
    public struct Size: Hashable, Sendable {
        public var columns: Int
        public var rows: Int

        public init(columns: Int, rows: Int) {
            self.columns = columns
            self.rows = rows
        }

        /// For a pipe or a file.
        public static let unlimited = Size(columns: 1 << 16, rows: 1 << 16)
    }

    var observation: Observation
    var size: Size
    var interval: Duration
    /// Whether more than ASCII can be shown.
    var isUnicode: Bool
    /// A user watches, and can press keys.
    var isLive: Bool

    public init(
        _ observation: Observation, size: Size, interval: Duration, isUnicode: Bool = false, isLive: Bool = false
    ) {
        self.observation = observation
        self.size = size
        self.interval = interval
        self.isUnicode = isUnicode
        self.isLive = isLive
    }

    /// From this height on there is room for empty lines between the parts.
    private static let airyRows = 20
    /// The least height of both tables: heading and one row each.
    private static let tableRowsMin = 4
    /// The least height of the summary: the daemon's identity, state and activity.
    private static let summaryRowsMin = 3

    public var lines: [Line] {
        guard size.columns > 0, size.rows > 0 else { return [] }
        let notice = notice
        guard let report = observation.report else { return Array(notice.prefix(size.rows)) }
        let isAiry = size.rows >= Self.airyRows
        var lines = summary(report, isAiry: isAiry)
        let room = size.rows - notice.count
        let summaryRows = max(room - Self.tableRowsMin, Self.summaryRowsMin)
        // Empty lines are left out first if rows are few.
        lines = Array(lines.prefix(summaryRows))
        lines += tables(report, rows: room - lines.count, isAiry: isAiry)
        if !notice.isEmpty { lines = lines.map(\.plain) }
        return Array((notice + lines).prefix(size.rows))
    }

    /// The message that the daemon doesn't answer.
    private var notice: [Line] {
        guard let failure = observation.failure else { return [] }
        let first = Line(
            [Field("NO ANSWER FROM THE DAEMON", .alarm), Field("asking every \(Figures.duration(interval))", .alarm)],
            columns: size.columns)
        guard size.rows >= 12 else { return [first] }
        return [first, Line([Field(failure)], columns: size.columns)]
    }

    private func tables(_ report: ActivityReport, rows: Int, isAiry: Bool) -> [Line] {
        let gap = isAiry ? 1 : 0
        let sources = sourceTable(report), grants = grantTable(report)
        let footer = isAiry ? footer(report) : []
        let room = rows - 2 * gap - footer.count
        let (upper, lower) = Self.share(room, sources.rows.count + 1, grants.rows.count + 1)
        let lines = [(sources, upper), (grants, lower)].flatMap { table, count in
            [Line](repeating: Line(), count: gap)
                + Columns(columns: table.columns, rows: Array(table.rows.prefix(max(0, count - 1))))
                .lines(columns: size.columns).prefix(count)
        }
        return Array((lines + footer).prefix(max(0, rows)))
    }

    private func footer(_ report: ActivityReport) -> [Line] {
        guard report.grantCount > report.grants.count else { return [] }
        let text = "The busiest grants found so far; \(report.grants.count) are looked at each time."
        return [Line([Field(text)], columns: size.columns)]
    }

    /// Half of the room for each; the rows that one table doesn't need go to the other.
    static func share(_ room: Int, _ first: Int, _ second: Int) -> (Int, Int) {
        guard room >= tableRowsMin else { return (max(0, room), 0) }
        let upper = min(first, max(room - room / 2, room - second))
        return (upper, min(second, room - upper))
    }
}
