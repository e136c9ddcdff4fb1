import Addresses
import AuditTrail
import Calls
import Clock
import Portmapper

/// The permitted calls that are under way, and the questions to rpcbind that they share.
///
/// Each client has its share of the places, and so have this host's users; calls over UDP, which may be forged,
/// leave room to the others.
public struct Exchanges: ~Copyable, Sendable {
    /// The asker of a question to rpcbind.
    public enum Asker: Hashable, Sendable {
        case exchange(Exchange.ID)
        /// The snapshot of the registry.
        case refresh
        /// The programs that policy names, one by one, while the registry can't be read.
        case survey
        /// Whether rpcbind keeps a list of version 2.
        case version2Check
    }

    public enum Beginning: Hashable, Sendable {
        case began(Exchange.ID)
        /// A retransmission of a call under way.
        case duplicate
        /// No place is left for the caller.
        case full
    }

    /// Calls of other hosts under way; above this number the newest are dropped.
    static let callsMax = 16_384
    /// Calls of one client and transport under way. Pipelined calls must not take the places of other clients,
    /// and UDP calls forged in a client's name must not take the places of its TCP connections.
    static let callsPerClientMax = 1024
    /// Calls of this host's users under way. Over TCP: one for each of its connections by default, so that one
    /// user's flood leaves lockd its place (the portmap server takes one call of such a connection at a time).
    static let localOverTCPMax = 1024
    static let localOverUDPMax = 512
    /// Calls under way to one server behind this gateway: one that hangs leaves places to the others.
    static let callsPerServerMax = 4096
    static let callsPerServerTCPReserve = 1024
    /// Calls under way to all servers together: whatever hangs behind this gateway, this host has places.
    static let callsOfServersMax = callsMax - 4096
    /// Different questions of other hosts' calls to one portmapper. With the questions of this host they are no more than the 4096
    /// that a channel to rpcbind takes: whatever this host's users ask, other hosts' questions have their places.
    static let questionsMax = 4096 - localOverTCPMax - localOverUDPMax
    /// The part of these, and of the calls, that is kept for TCP: calls over UDP may be forged.
    static let questionsTCPReserve = 1024
    static let callsTCPReserve = 4096

    struct Caller: TableKey {
        var address: IPAddress
        var transport: Transport

        init(_ peer: Peer) { (address, transport) = (peer.address, peer.transport) }

        func combine(into hash: inout TableHash) {
            address.combine(into: &hash)
            hash.combine(transport.rawValue)
        }
    }

    struct CallKey: TableKey {
        var address: IPAddress
        var port: UInt16
        var xid: UInt32

        init(_ request: Exchange.Request) {
            (address, port, xid) = (request.peer.address, request.peer.port, request.xid)
        }

        func combine(into hash: inout TableHash) {
            address.combine(into: &hash)
            hash.combine(UInt64(port) << 32 | UInt64(xid))
        }
    }

    private var table = ExchangeTable()
    /// The number of calls under way of each caller on another host; `nil` while there are so few calls of other hosts
    /// that none of them can have too many.
    private var countOfCaller: [Caller: Int]?
    /// The calls of this host, which has places of its own.
    private var local = LocalCalls()
    /// UDP calls under way, so that a retransmission is not asked and answered twice.
    private var datagrams: [CallKey: Exchange.ID] = [:]
    /// The calls under way to each server.
    private var countOfServer: [Int]
    private var questions: [SharedQuestions<Asker>]
    var clientQuestions = ClientQuestions()

    /// - Parameter servers: the number of portmappers, this host's included.
    public init(servers: Int = 1) {
        countOfServer = Array(repeating: 0, count: servers)
        questions = Array(repeating: SharedQuestions(), count: servers)
    }

    public var count: Int { table.count }

    /// Nothing is under way, and nothing is left behind.
    var isQuiet: Bool {
        table.isEmpty && countOfCaller == nil && datagrams.isEmpty && clientQuestions.isEmpty
            && local.count == 0 && countOfServer.allSatisfy { $0 == 0 }
    }

    /// Each place is counted once.
    var isConsistent: Bool {
        (countOfCaller.map { $0.values.reduce(0, +) == countOfOthers } ?? (countOfOthers < Self.callsPerClientMax))
            && datagrams.count <= table.count && countOfServer.reduce(0, +) == table.count
    }

    /// The oldest first.
    public var all: [(id: Exchange.ID, exchange: Exchange)] { table.all }

    public subscript(id: Exchange.ID) -> Exchange? { table[id] }

    public func request(of id: Exchange.ID) -> Exchange.Request? { table.request(of: id) }

    /// Changes the exchange with this id, if it still exists.
    public mutating func change(_ id: Exchange.ID, _ body: (inout Exchange) -> Void) { table.change(id, body) }

    /// Gives the call a place. A call over UDP with another question is another call, also from the same port and
    /// with the same transaction id: sockets may share a port.
    public mutating func begin(_ request: Exchange.Request) -> Beginning {
        guard request.peer.transport == .udp else {
            guard takesPlace(for: request.peer, at: request.server) else { return .full }
            return .began(table.insert(Exchange(request)))
        }
        let key = CallKey(request)
        if let id = datagrams[key], let earlier = table.request(of: id), earlier.call == request.call,
            earlier.asked == request.asked
        {
            return .duplicate
        }
        guard takesPlace(for: request.peer, at: request.server) else { return .full }
        let id = table.insert(Exchange(request))
        datagrams[key] = id
        return .began(id)
    }

    /// Ends the exchange, and frees its place.
    public mutating func end(_ id: Exchange.ID) -> Exchange.Request? {
        guard let request = table.remove(id)?.request else { return nil }
        givePlaceBack(of: request.peer, at: request.server)
        if request.peer.transport == .udp {
            // A later call with the same transaction id may have taken its place.
            if let place = datagrams.index(forKey: CallKey(request)), datagrams.values[place] == id {
                datagrams.remove(at: place)
            }
        }
        return request
    }

    /// Whether the question has to be sent now.
    public mutating func ask(
        _ question: Question, of server: ServerNumber = 0, for asker: Asker, at now: Instant
    ) -> Bool {
        questions[server].join(asker, question, at: now)
    }

    /// The askers that the answer serves, whether the question has to be sent again for others, and when it
    /// was sent.
    public mutating func answered(
        _ question: Question, by server: ServerNumber = 0, at now: Instant
    ) -> (served: Askers<Asker>, isAskedAgain: Bool, since: Instant?) {
        questions[server].answered(question, at: now)
    }

    /// Whether a question to a client's portmapper has to be sent now; `nil`: there is no place for it.
    public mutating func ask(_ question: ClientQuestion, for id: Exchange.ID, at now: Instant) -> Bool? {
        switch clientQuestions.ask(question, for: id, at: now) {
        case .sends: true
        case .shares: false
        case .full: nil
        }
    }

    /// The exchanges that a client's answer serves, and whether the question has to be sent again for others.
    public mutating func answered(
        _ question: ClientQuestion, at now: Instant
    ) -> (served: Askers<Exchange.ID>, isAskedAgain: Bool) {
        clientQuestions.answered(question, at: now)
    }

    /// Calls of other hosts under way.
    private var countOfOthers: Int { table.count - local.count }

    /// Counts the client's call if there is a place for it, and returns whether there is. The caller inserts it then.
    private mutating func takesPlace(for peer: Peer, at server: ServerNumber) -> Bool {
        guard isAnyPlaceLeft(for: peer, at: server) else { return false }
        if peer.isLocal {
            local[peer.transport] += 1
        } else if countOfCaller != nil || countOfOthers + 1 >= Self.callsPerClientMax {
            guard takesPlaceOfCaller(Caller(peer)) else { return false }
        }
        countOfServer[server] += 1
        return true
    }

    private mutating func takesPlaceOfCaller(_ caller: Caller) -> Bool {
        var counts =
            countOfCaller.take()
            ?? table.requests.reduce(into: [:]) { if !$1.peer.isLocal { $0[Caller($1.peer), default: 0] += 1 } }
        let count = counts[caller, default: 0]
        let isTaken = count < Self.callsPerClientMax
        if isTaken { counts[caller] = count + 1 }
        countOfCaller = counts
        return isTaken
    }

    /// The call was removed from the table.
    private mutating func givePlaceBack(of peer: Peer, at server: ServerNumber) {
        countOfServer[server] -= 1
        guard !peer.isLocal else {
            local[peer.transport] -= 1
            return
        }
        guard var counts = countOfCaller.take() else { return }
        // Half of the bound, so that the counts aren't made anew every other call.
        guard countOfOthers >= Self.callsPerClientMax / 2 else { return }
        let caller = Caller(peer)
        let left = counts[caller, default: 1] - 1
        counts[caller] = left > 0 ? left : nil
        countOfCaller = counts
    }

    private func isAnyPlaceLeft(for peer: Peer, at server: ServerNumber) -> Bool {
        switch (peer.isLocal, peer.transport) {
        case (true, .tcp): return local.overTCP < Self.localOverTCPMax
        case (true, .udp): return local.overUDP < Self.localOverUDPMax
        case (false, _): break
        }
        let isForgeable = peer.transport == .udp
        if server != 0 {
            let ofServerMax = Self.callsPerServerMax - (isForgeable ? Self.callsPerServerTCPReserve : 0)
            let ofServersMax = Self.callsOfServersMax - (isForgeable ? Self.callsTCPReserve : 0)
            let ofServers = table.count - countOfServer[0]
            guard countOfServer[server] < ofServerMax, ofServers < ofServersMax else { return false }
        }
        return countOfOthers < Self.callsMax - (isForgeable ? Self.callsTCPReserve : 0)
            && questions[server].count - (server == 0 ? local.count : 0) < Self.questionsMax
                - (isForgeable ? Self.questionsTCPReserve : 0)
    }
}

/// The calls of this host under way.
private struct LocalCalls {
    private(set) var overTCP = 0
    private(set) var overUDP = 0

    var count: Int { overTCP + overUDP }

    subscript(transport: Transport) -> Int {
        get { transport == .tcp ? overTCP : overUDP }
        set { if transport == .tcp { overTCP = newValue } else { overUDP = newValue } }
    }
}
