import AuditTrail
import Clock
import Policy

/// The calls to this host, and those to each server behind it. Each server has rules of its own.
public struct ObservedServers: Sendable {
    /// As many as a configuration may have; the names in a log are nobody's proof.
    static let serversMax = 1024

    private let listsOverUDP: Bool
    private var here: ObservedCalls
    private var servers: [String: ObservedCalls] = [:]
    /// Events of servers that a policy can't name.
    private var unnameableCount = 0

    public init(listsOverUDP: Bool) {
        self.init(ObservedCalls(listsOverUDP: listsOverUDP), listsOverUDP: listsOverUDP)
    }

    init(_ here: ObservedCalls, listsOverUDP: Bool) {
        self.here = here
        self.listsOverUDP = listsOverUDP
    }

    public mutating func note(_ event: AuditEvent, at time: Timestamp) {
        guard let server = event.server else { return here.note(event, at: time) }
        // A server asks its clients' portmappers because of the rules for these clients, and needs none.
        guard event.rule != Self.callbacks(of: server) else { return }
        guard Self.isName(server), servers[server] != nil || servers.count < Self.serversMax else {
            unnameableCount += 1
            return
        }
        servers[server, default: ObservedCalls(listsOverUDP: listsOverUDP)].note(event, at: time)
    }

    static func callbacks(of server: String) -> String { "callbacks of \(server)" }

    /// The characters of rpcwarden.yaml(5), `gateway.servers.name`. Nothing else of a log may get into the draft.
    private static func isName(_ server: String) -> Bool {
        (1...64).contains(server.utf8.count)
            && server.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte | 0x20)
                    || [0x2d, 0x2e, 0x5f].contains(byte)
            }
    }

    private var parts: [(server: String?, calls: ObservedCalls)] {
        [(nil, here)] + servers.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    /// The smallest policy that would have permitted all calls, and warnings for people.
    public func draft(_ aggregation: Aggregation, names: ProgramNames) -> (policy: DraftPolicy, warnings: [String]) {
        var policy = DraftPolicy()
        var warnings: [String] = []
        for (server, calls) in parts {
            let learned = LearnedRules(calls, at: server, aggregation, names: names)
            policy.rules += learned.rules
            let place = server.map { "at \($0): " } ?? ""
            warnings += calls.warnings(unexplainedProbes: learned.unexplainedProbes).map { place + $0 }
        }
        if unnameableCount > 0 {
            warnings.append("\(counted(unnameableCount, "event")) of servers that no policy can name: not learned from")
        }
        policy.comments = [
            "Drafted by `rpcwarden learn`" + (period.map { " from \($0.first) to \($0.last)." } ?? "."),
            "Not every call that was seen should be permitted: review each rule before you enforce it.",
        ]
        if !warnings.isEmpty { policy.comments += [""] + warnings }
        return (policy, warnings)
    }

    private var period: (first: Timestamp, last: Timestamp)? {
        let periods = parts.compactMap(\.calls.period)
        guard let first = periods.map(\.first).min(), let last = periods.map(\.last).max() else { return nil }
        return (first, last)
    }
}

extension ObservedCalls {
    fileprivate func warnings(unexplainedProbes: Int) -> [String] {
        var remarks = remarks
        if unexplainedProbes > 0 { remarks[.probed, default: 0] += unexplainedProbes }
        var warnings = remarks.sorted { $0.key < $1.key }.map { $0.key.text($0.value) }
        let suspectCount = suspects.subtracting(ownAddresses).count
        if suspectCount > 0 {
            warnings.append(
                "\(counted(suspectCount, "client")) suspected of enumeration; comments in the rules name them: review each"
            )
        }
        return warnings
    }

    /// The draft for one server alone, this host.
    public func draft(_ aggregation: Aggregation, names: ProgramNames) -> (policy: DraftPolicy, warnings: [String]) {
        ObservedServers(self, listsOverUDP: false).draft(aggregation, names: names)
    }
}
