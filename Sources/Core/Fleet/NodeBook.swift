import Clock
import FleetRecords

/// The nodes that this one has seen, so that a silent one is told as such: its key goes with its lease.
public struct NodeBook: Sendable {
    public struct Entry: Hashable, Sendable {
        public var node: String
        public var status: NodeStatus
        /// When its key was seen last.
        public var seen: Timestamp
        /// Its lease of 30 s is over.
        public var isSilent: Bool
    }

    private var entries: [String: Entry] = [:]
    public static let nodesMax = 1024
    /// How long a silent node is remembered.
    static let holds = Duration.seconds(30 * 86_400)

    public init() {}

    /// Everything that the store has now.
    public mutating func read(_ statuses: [(node: String, status: NodeStatus)], at now: Timestamp) {
        for node in entries.keys { entries[node]?.isSilent = true }
        for (node, status) in statuses where entries[node] != nil || entries.count < Self.nodesMax {
            entries[node] = Entry(node: node, status: status, seen: now, isSilent: false)
        }
        entries = entries.filter { $0.value.seen + Self.holds > now }
    }

    public var all: [Entry] { entries.values.sorted { $0.node < $1.node } }
}
