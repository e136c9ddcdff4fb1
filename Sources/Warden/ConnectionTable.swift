import Portmapper

/// Which TCP connections there are, and which must go.
///
/// ```
/// opened ──▶ idle ⇄ inside a record        closed by the peer, by tcp-idle, or to make room
/// ```
public struct ConnectionTable: Sendable {
    public typealias ID = UInt64

    private struct Connection {
        var client: IPAddress
        var isLocal: Bool
        var isNamed: Bool
        /// When it last became idle, or when its unfinished record began.
        var waitingSince: Instant
        var isInsideRecord = false
    }

    private var limits: Settings.Limits
    private var connections: [ID: Connection] = [:]
    private var counts: [IPAddress: Int] = [:]

    public init(limits: Settings.Limits) {
        self.limits = limits
    }

    public var count: Int { connections.count }

    public mutating func limitsReplaced(_ limits: Settings.Limits) {
        self.limits = limits
    }

    /// Takes a connection in; returns those that must be closed, which may be the new one.
    ///
    /// A client at its own limit loses the new one. When all places are taken, the client with the most connections
    /// loses its longest waiting one, strangers before clients that a rule names. Local connections always get in.
    public mutating func opened(
        _ id: ID, from client: IPAddress, isLocal: Bool, isNamed: Bool, at now: Instant
    ) -> [ID] {
        if !isLocal, counts[client, default: 0] >= limits.tcpConnectionsPerClient { return [id] }
        var victims: [ID] = []
        if !isLocal, connections.count >= limits.tcpConnections {
            guard let victim = greediest(sparingNamed: !isNamed) else { return [id] }
            victims.append(victim)
            closed(victim)
        }
        connections[id] = Connection(client: client, isLocal: isLocal, isNamed: isNamed, waitingSince: now)
        counts[client, default: 0] += 1
        return victims
    }

    private func greediest(sparingNamed: Bool) -> ID? {
        let candidates = connections.filter { !$0.value.isLocal && !($0.value.isNamed && sparingNamed) }
        return candidates.max { left, right in
            rank(left.value) != rank(right.value)
                ? rank(left.value) < rank(right.value) : left.value.waitingSince > right.value.waitingSince
        }?.key
    }

    /// Strangers go first, then the client with the most connections.
    private func rank(_ connection: Connection) -> Int {
        (connection.isNamed ? 0 : limits.tcpConnections + 1) + counts[connection.client, default: 0]
    }

    /// Bytes arrived: a record is complete, or has begun and isn't.
    public mutating func received(_ id: ID, isInsideRecord: Bool, at now: Instant) {
        guard let connection = connections[id] else { return }
        // A record that trickles in must not buy time.
        if isInsideRecord, connection.isInsideRecord { return }
        connections[id]?.waitingSince = now
        connections[id]?.isInsideRecord = isInsideRecord
    }

    public mutating func closed(_ id: ID) {
        guard let connection = connections.removeValue(forKey: id), let count = counts[connection.client] else {
            return
        }
        counts[connection.client] = count > 1 ? count - 1 : nil
    }

    /// The connections that have waited longer than `tcp-idle`.
    public func expired(at now: Instant) -> [ID] {
        connections.filter { now - $0.value.waitingSince > limits.tcpIdle }.map(\.key).sorted()
    }
}
