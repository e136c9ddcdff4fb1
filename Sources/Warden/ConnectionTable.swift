import Portmapper

/// Which TCP connections there are, and which must go.
///
/// ```
/// opened ──▶ idle ⇄ inside a record        closed by the peer, by tcp-idle, or to make room
/// ```
public struct ConnectionTable: Sendable {
    public typealias ID = UInt64

    private struct Connection {
        /// The address; for strangers over IPv6 their /64, of which anybody has every address.
        var source: IPAddress
        var isLocal: Bool
        var isNamed: Bool
        /// When it last became idle, or when its unfinished record began.
        var waitingSince: Instant
        var isInsideRecord = false

        var isStranger: Bool { !isLocal && !isNamed }
    }

    private var limits: Settings.Limits
    private var connections: [ID: Connection] = [:]
    private var counts: [IPAddress: Int] = [:]
    private var localCount = 0
    /// By when they began to wait.
    private var strangers = DueTable<ID>(staleEntriesMax: victimsAtOnce)

    public init(limits: Settings.Limits) {
        self.limits = limits
    }

    public var count: Int { connections.count }
    var strangersRemembered: Int { strangers.queuedCount }

    public mutating func limitsReplaced(_ limits: Settings.Limits) {
        self.limits = limits
    }

    /// Takes a connection in; returns those that must be closed, which may be the new one.
    ///
    /// At its own limit, a client that a rule names loses its longest waiting connection, a stranger the new one. When
    /// all places are taken, the longest waiting stranger goes, then the longest waiting connection of the client that
    /// has the most. Local connections always get in, and have as many places of their own, which they take from each
    /// other.
    public mutating func opened(
        _ id: ID, from client: IPAddress, isLocal: Bool, isNamed: Bool, at now: Instant
    ) -> [ID] {
        let source = isNamed || isLocal ? client : client.site
        let connection = Connection(source: source, isLocal: isLocal, isNamed: isNamed, waitingSince: now)
        var victims: [ID] = []
        if !isLocal, counts[source, default: 0] >= limits.tcpConnectionsPerClient {
            guard isNamed, let own = longestWaiting(where: { $0.source == source }) else { return [id] }
            victims.append(own)
        } else if (isLocal ? localCount : connections.count - localCount) >= limits.tcpConnections {
            guard let victim = isLocal ? longestWaiting(where: \.isLocal) : victim(ofNamed: isNamed) else {
                return [id]
            }
            victims.append(victim)
        }
        for victim in victims { closed(victim) }
        connections[id] = connection
        counts[source, default: 0] += 1
        if isLocal { localCount += 1 }
        if connection.isStranger { strangers.insert(id, at: now) }
        return victims
    }

    /// Descriptors ran out although the limits were kept: strangers make room, the longest waiting first.
    public mutating func crowded() -> [ID] {
        var victims: [ID] = []
        while victims.count < Self.victimsAtOnce, let victim = longestWaitingStranger() {
            closed(victim)
            victims.append(victim)
        }
        return victims
    }

    /// Enough to let those in who wait, few enough to look for at once.
    static let victimsAtOnce = 16

    /// A stranger never takes the place of a client that a rule names.
    private mutating func victim(ofNamed isNamed: Bool) -> ID? {
        if let stranger = longestWaitingStranger() { return stranger }
        return isNamed ? greediest() : nil
    }

    /// Found without a look at all connections: in a flood each new one asks for it.
    private mutating func longestWaitingStranger() -> ID? {
        strangers.popFirst(until: .distantFuture)?.key
    }

    private func longestWaiting(where isCandidate: (Connection) -> Bool) -> ID? {
        var longest: (since: Instant, id: ID)?
        for (id, connection) in connections where isCandidate(connection) {
            let candidate = (since: connection.waitingSince, id: id)
            if longest.map({ candidate < $0 }) ?? true { longest = candidate }
        }
        return longest?.id
    }

    private func greediest() -> ID? {
        let remote = connections.values.lazy.filter { !$0.isLocal }.map(\.source)
        guard let most = remote.map({ counts[$0, default: 0] }).max() else { return nil }
        return longestWaiting { !$0.isLocal && counts[$0.source, default: 0] == most }
    }

    /// Bytes arrived: a record is complete, or has begun and isn't.
    public mutating func received(_ id: ID, isInsideRecord: Bool, at now: Instant) {
        guard let connection = connections[id] else { return }
        // A record that trickles in must not buy time.
        if isInsideRecord, connection.isInsideRecord { return }
        connections[id]?.waitingSince = now
        connections[id]?.isInsideRecord = isInsideRecord
        if connection.isStranger { strangers.insert(id, at: now) }
    }

    public mutating func closed(_ id: ID) {
        guard let connection = connections.removeValue(forKey: id), let count = counts[connection.source] else {
            return
        }
        _ = strangers.remove(id)
        counts[connection.source] = count > 1 ? count - 1 : nil
        if connection.isLocal { localCount -= 1 }
    }

    /// The connections that have waited longer than `tcp-idle`.
    public func expired(at now: Instant) -> [ID] {
        connections.filter { now - $0.value.waitingSince > limits.tcpIdle }.map(\.key).sorted()
    }
}
