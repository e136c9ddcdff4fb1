import Addresses
import AuditTrail
import Calls
import Clock
import Firewall
import FleetRecords
import ONCRPC
import Portmapper
import Warden

/// A Warden in the daemon's own loop. Its portmappers, services and kernel answer at once, so that only the core's work
/// takes time.
final class Outside: ActionShells {
    private(set) var now = Instant(nanoseconds: 1_000_000_000_000)
    private var loop: ActionLoop<Outside>?
    private let port: (Mapping) -> UInt32
    /// The registry of each server.
    private let listing: (ServerNumber) -> Listing
    private(set) var replies = 0

    init(_ warden: consuming Warden, port: @escaping (Mapping) -> UInt32, listing: @escaping (ServerNumber) -> Listing)
    {
        (self.port, self.listing) = (port, listing)
        warden.tableMissing(at: now)
        loop = ActionLoop(warden, shells: self)
        handle { $0.timeAdvanced(to: $1, into: &$2) }
    }

    /// What the Warden has counted.
    var counters: Counters { loop?.warden.counters ?? Counters() }
    var grantCount: Int { loop?.warden.grantCount ?? 0 }

    func receive(_ bytes: UnsafeRawBufferPointer, from peer: Peer) {
        handle { $0.callReceived(IncomingCall(decoding: bytes, from: peer), at: $1, into: &$2) }
    }

    /// One event, what follows from it, and the transaction that they need, as the daemon does after each reading.
    func handle(_ event: (inout Warden, Instant, inout [Action]) -> Void) {
        now.nanoseconds += 10_000
        loop?.handle(event)
        loop?.handle { $0.flush(at: $1, into: &$2) }
    }

    // MARK: What the Warden asks for

    func send(_ reply: Reply, to peer: Peer) {
        use(reply.encoded)
        replies += 1
    }

    func ask(_ question: Question, of server: ServerNumber) {
        let answer: RpcbindAnswer =
            if case .port(let mapping) = question { .port(port(mapping)) } else { .registry(listing(server)) }
        loop?.handle { $0.answered(question, with: .success(answer), by: server, at: $1, into: &$2) }
    }

    func callServices(_ questions: [LivenessQuestion], of server: ServerNumber, look: Int) {
        let answers = Dictionary(questions.map { ($0, LivenessAnswer.alive) }) { first, _ in first }
        loop?.handle { $0.servicesCalled(look, of: server, answers, at: $1, into: &$2) }
    }

    func listeners(at services: Set<ServicePort>) -> [ServicePort: ListenerState]? {
        var states: [ServicePort: ListenerState] = [:]
        for service in services { states[service] = ListenerState(ipv4: true, ipv6: true) }
        return states
    }

    func commit(_ transaction: Transaction) -> CommitResult? { .done }

    func closeConnection(_ id: ConnectionID) {}
    func askClient(_ question: ClientQuestion) {}
    func owner(of peer: Peer) -> UInt32? { nil }
    func lifetimes(of keys: [GrantKey]) -> [GrantKey: Duration] { [:] }
    func cut(_ clients: [ServicePort: Set<AddressRange>]) {}
    func write(_ event: AuditEvent) {}
    func tellFleet(_ message: DaemonMessage) {}
}
