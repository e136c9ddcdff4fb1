import Addresses
import AuditTrail
import Clock

/// First and last time of what a row counts.
struct Period: Hashable {
    var first: Timestamp
    var last: Timestamp

    init(_ time: Timestamp) { (first, last) = (time, time) }

    static func += (period: inout Self, other: Self) {
        period.first = min(period.first, other.first)
        period.last = max(period.last, other.last)
    }
}

/// A few different programs.
struct Programs: Hashable {
    static let programsMax = 16
    private(set) var programs: [Program] = []
    private(set) var hasMore = false

    mutating func insert(_ program: Program) {
        guard !programs.contains(program) else { return }
        if programs.count < Self.programsMax { programs.append(program) } else { hasMore = true }
    }

    static func += (programs: inout Self, other: Self) {
        for program in other.programs { programs.insert(program) }
        programs.hasMore = programs.hasMore || other.hasMore
    }
}

/// What the rows of a table differ in; each table uses some of it.
struct RowKey: Hashable {
    var client: IPAddress?
    var program: Program?
    /// By its place.
    var host: Int?
    /// The server behind a gateway, by its place; `nil`: this host.
    var server: Int?
    var port: ServicePort?
    var reason: DenialReason?
    /// A tool, or a rule.
    var word: String?

    /// For an order that doesn't change from run to run.
    var order: [String] {
        [
            client.map { "\($0)" } ?? "", program.map { "\($0)" } ?? "", host.map { "\($0)" } ?? "",
            server.map { "\($0)" } ?? "", port.map { "\($0)" } ?? "", reason?.rawValue ?? "", word ?? "",
        ]
    }
}

/// What a row counts; each table uses some of it.
struct Row: Hashable {
    var count = 0
    /// Grants, or denials of enumerations.
    var others = 0
    /// Those that observe mode let pass.
    var observed = 0
    /// Hosts by their places; the last bit is for all others.
    var hosts: UInt64 = 0
    var programs = Programs()
    var detail = ""
    var period: Period

    /// Hosts that a row tells by name.
    static let hostsShownMax: UInt64 = 63

    init(count: Int = 0, others: Int = 0, at time: Timestamp) {
        (self.count, self.others, period) = (count, others, Period(time))
    }

    /// Decides which rows stay.
    var weight: Int { count.addingSaturated(others) }

    static func += (row: inout Self, other: Self) {
        row.count += other.count
        row.others = row.others.addingSaturated(other.others)
        row.observed += other.observed
        row.hosts |= other.hosts
        row.programs += other.programs
        if other.period.last >= row.period.last { row.detail = other.detail }
        row.period += other.period
    }
}
