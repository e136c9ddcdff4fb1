import Addresses
import Calls
import Clock
import Configuration

/// The TCP connections, and the choice of the ones that must go.
///
/// ```
/// opened ──▶ idle ⇄ inside a record        closed by the peer, by tcp-idle, or to make room
///              ⇅
///        a call under way                  closed by the peer; for another client, when there is no other
/// ```
public struct ConnectionTable: Sendable {
    private struct Connection {
        /// The address; for strangers over IPv6 their /64, because one host can have every address in it.
        var source: IPAddress
        var isLocal: Bool
        var isListed: Bool
        /// When the connection last became idle, or when its unfinished record began.
        var waitingSince: Instant
        var isInsideRecord = false
        /// No bytes have come yet.
        var isSilent = true
        var callsUnderWay = 0

        var isStranger: Bool { !isLocal && !isListed }
        var isAnswered: Bool { callsUnderWay == 0 }

        /// Whether no call is lost if the connection ends: bytes sent right behind the handshake have been read
        /// by now.
        func isIdle(at now: Instant) -> Bool {
            isAnswered && !(isSilent && now - waitingSince < ConnectionTable.patience)
        }
    }

    private var limits: Settings.Limits
    private var connections: [ConnectionID: Connection] = [:]
    private var counts: [IPAddress: Int] = [:]
    private var localCount = 0
    /// Clients that have more connections than `tcp-connections-per-client`.
    private var overLimit: Set<IPAddress> = []
    /// The connections of strangers, by the time at which they began to wait.
    private var strangers = DueTable<ConnectionID>(staleEntriesMax: victimsAtOnce)

    public init(limits: Settings.Limits) {
        self.limits = limits
    }

    public var count: Int { connections.count }
    var strangersRemembered: Int { strangers.queuedCount }

    mutating func limitsReplaced(_ limits: Settings.Limits) {
        self.limits = limits
    }

    /// Bytes that a client sends right behind the handshake are read within this time.
    static let patience: Duration = .milliseconds(250)
    /// A client has so many times its places while all its connections have calls under way: a node mounts some
    /// hundred file systems at once, each over a connection of its own.
    static let placesMax = 8

    /// Takes a connection in; returns the connections that must be closed, which may include the new one.
    ///
    /// At its own limit, a client that a rule names loses its longest idle connection. If none is idle, it gets
    /// some more, and loses the surplus when its calls have been answered (``surplus(at:)``). A stranger loses
    /// the new connection. When all places are taken, the longest waiting stranger goes, then a connection of the
    /// client that has the most. Local connections have as many places of their own, which they take from each
    /// other.
    public mutating func opened(
        _ id: ConnectionID, from client: IPAddress, isLocal: Bool, isListed: Bool, at now: Instant
    ) -> [ConnectionID] {
        let source = isListed || isLocal ? client : client.subscriberPrefix
        let connection = Connection(source: source, isLocal: isLocal, isListed: isListed, waitingSince: now)
        var victims: [ConnectionID] = []
        let own = counts[source, default: 0]
        if !isLocal, own >= limits.tcpConnectionsPerClient {
            guard isListed else { return [id] }
            if let idle = longestWaiting(where: { $0.source == source && $0.isIdle(at: now) }) {
                victims.append(idle)
            } else if own >= Self.placesMax * limits.tcpConnectionsPerClient {
                return [id]
            }
        }
        if victims.isEmpty, (isLocal ? localCount : connections.count - localCount) >= limits.tcpConnections {
            guard let victim = isLocal ? localVictim(at: now) : victim(for: connection, at: now) else { return [id] }
            victims.append(victim)
        }
        for victim in victims { closed(victim) }
        connections[id] = connection
        counts[source, default: 0] += 1
        if isLocal { localCount += 1 }
        if !isLocal, counts[source, default: 0] > limits.tcpConnectionsPerClient { overLimit.insert(source) }
        if connection.isStranger { strangers.insert(id, at: now) }
        return victims
    }

    /// The connections in excess of their client's limit that have been answered.
    public mutating func surplus(at now: Instant) -> [ConnectionID] {
        var victims: [ConnectionID] = []
        for source in overLimit.sorted() {
            while counts[source, default: 0] > limits.tcpConnectionsPerClient,
                let idle = longestWaiting(where: { !$0.isLocal && $0.source == source && $0.isIdle(at: now) })
            {
                closed(idle)
                victims.append(idle)
            }
            if counts[source, default: 0] <= limits.tcpConnectionsPerClient { overLimit.remove(source) }
        }
        return victims
    }

    /// Descriptors ran out although the limits were kept: strangers make room, the longest waiting first.
    public mutating func crowded() -> [ConnectionID] {
        var victims: [ConnectionID] = []
        while victims.count < Self.victimsAtOnce, let victim = longestWaitingStranger() {
            closed(victim)
            victims.append(victim)
        }
        return victims
    }

    /// Enough to let waiting connections in, few enough to be found at once.
    static let victimsAtOnce = 16

    /// The connection to close for a newcomer. A stranger never takes the place of a client that a rule names,
    /// and a client never takes the place of its own call under way.
    private mutating func victim(for newcomer: Connection, at now: Instant) -> ConnectionID? {
        if let stranger = longestWaitingStranger() { return stranger }
        guard newcomer.isListed, let most = mostOfOneClient() else { return nil }
        let isOfGreediest = { [counts] (connection: Connection) in
            !connection.isLocal && counts[connection.source, default: 0] == most
        }
        return longestWaiting { isOfGreediest($0) && $0.isIdle(at: now) }
            ?? longestWaiting { isOfGreediest($0) && $0.isAnswered }
            ?? longestWaiting { isOfGreediest($0) && $0.source != newcomer.source }
    }

    private func localVictim(at now: Instant) -> ConnectionID? {
        longestWaiting { $0.isLocal && $0.isIdle(at: now) } ?? longestWaiting { $0.isLocal && $0.isAnswered }
    }

    /// The longest waiting stranger, found without a look at all connections: in a flood, each new one asks for
    /// it.
    private mutating func longestWaitingStranger() -> ConnectionID? {
        strangers.popFirst(until: .distantFuture)?.key
    }

    private func longestWaiting(where isCandidate: (Connection) -> Bool) -> ConnectionID? {
        var longest: (since: Instant, id: ConnectionID)?
        for (id, connection) in connections where isCandidate(connection) {
            let candidate = (since: connection.waitingSince, id: id)
            if longest.map({ candidate < $0 }) ?? true { longest = candidate }
        }
        return longest?.id
    }

    private func mostOfOneClient() -> Int? {
        connections.values.lazy.filter { !$0.isLocal }.map { counts[$0.source, default: 0] }.max()
    }

    /// Bytes arrived: a record is complete, or has begun and isn't.
    public mutating func received(_ id: ConnectionID, isInsideRecord: Bool, at now: Instant) {
        guard let connection = connections[id] else { return }
        connections[id]?.isSilent = false
        // A record that trickles in must not buy time.
        if isInsideRecord, connection.isInsideRecord { return }
        connections[id]?.waitingSince = now
        connections[id]?.isInsideRecord = isInsideRecord
        if connection.isStranger { strangers.insert(id, at: now) }
    }

    public mutating func closed(_ id: ConnectionID) {
        guard let connection = connections.removeValue(forKey: id), let count = counts[connection.source] else {
            return
        }
        _ = strangers.remove(id)
        counts[connection.source] = count > 1 ? count - 1 : nil
        if connection.isLocal { localCount -= 1 }
    }

    /// A call that the connection brought is being answered.
    public mutating func callBegan(_ id: ConnectionID) { connections[id]?.callsUnderWay += 1 }

    public mutating func callEnded(_ id: ConnectionID) { connections[id]?.callsUnderWay -= 1 }

    /// The connections that have waited longer than `tcp-idle`; a connection doesn't wait while its call is under
    /// way.
    public mutating func expired(at now: Instant) -> [ConnectionID] {
        for (id, connection) in connections where !connection.isAnswered && !connection.isInsideRecord {
            connections[id]?.waitingSince = now
            if connection.isStranger { strangers.insert(id, at: now) }
        }
        return connections.filter { $0.value.isAnswered && now - $0.value.waitingSince > limits.tcpIdle }.map(\.key)
            .sorted()
    }
}
