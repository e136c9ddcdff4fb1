import Addresses
import AuditLog
import AuditTrail
import Calls
import Clock
import Firewall
import FleetRecords
import Liveness
import NIOCore
import Netfilter
import ONCRPC
import PortmapServer
import Portmapper
import RpcbindClient
import Warden

/// Performs the Warden's actions: sockets, rpcbind, the kernel and the log. Belongs to one event loop.
final class DaemonShells: ActionShells {
    let netfilter: NetfilterClient
    var server: PortmapServer?
    /// The portmappers, by the numbers of their servers.
    var clients: [RpcbindClient] = []
    /// Tells which services of servers answer; `nil`: there is no server behind this host.
    var serverCalls: ServerCalls?
    /// Asks the clients that servers call back; `nil`: there is no server behind this host.
    var clientPortmappers: ClientPortmappers?
    /// This host's name in the log (`audit.host`).
    var hostName: String?
    /// Tells other nodes; `nil`: this host is of no fleet.
    var fleet: FleetLink?
    /// Called when a transaction has ended that took the kernel long.
    var committed: (CommitResult) -> Void = { _ in }
    /// The message of the last transaction, if the kernel refused it.
    private(set) var lastFailure: String?
    private let loop: any EventLoop
    private let audit: AuditLog
    private let sockets: Listeners
    /// Set with `rpcbind.local-registration`.
    private let owners: SocketOwners?

    init(on loop: any EventLoop, _ netfilter: NetfilterClient, _ audit: AuditLog, findsOwners: Bool) throws {
        self.loop = loop
        self.netfilter = netfilter
        self.audit = audit
        sockets = try Listeners()
        owners = findsOwners ? try SocketOwners() : nil
    }

    var now: Instant { HostClock.now() }

    /// Takes no more calls, and asks rpcbind no more.
    func stopServing() {
        server?.close()
        for client in clients { client.close() }
        serverCalls?.close()
        clientPortmappers?.close()
        fleet?.close()
    }

    func close() {
        audit.close()
        netfilter.close()
    }

    func send(_ reply: Reply, to peer: Peer) { server?.send(reply, to: peer) }

    func closeConnection(_ id: ConnectionID) { server?.closeConnection(id) }

    func ask(_ question: Question, of server: ServerNumber) { clients[server].ask(question) }

    func callServices(_ questions: [LivenessQuestion], of server: ServerNumber, look: Int) {
        serverCalls?.look(questions, of: server, look: look)
    }

    func askClient(_ question: ClientQuestion) { clientPortmappers?.ask(question) }

    func listeners(at services: Set<ServicePort>) -> [ServicePort: ListenerState]? {
        do {
            return try sockets.listening(services)
        } catch {
            failed("\(error)")
            return nil
        }
    }

    func owner(of peer: Peer) -> UInt32? {
        do {
            let source = UniversalAddress(host: peer.address, port: peer.port)
            return try owners?.owner(of: peer.transport, from: source, to: peer.asked)
        } catch {
            failed("\(error)")
            return nil
        }
    }

    func commit(_ transaction: Transaction) -> CommitResult? {
        guard transaction.takesLong else { return result(netfilter.commit(transaction)) }
        netfilter.begin(transaction)
        awaitOutcome()
        return nil
    }

    /// A refused transaction is retried several times a second, for hours if need be; the same message is written
    /// once.
    private func result(_ failure: CommitFailure?) -> CommitResult {
        if let failure, failure.message != lastFailure {
            failed("the kernel refused a transaction: \(failure.message)")
        }
        lastFailure = failure?.message
        return failure.map(CommitResult.failed) ?? .done
    }

    private static let outcomePeriod: TimeAmount = .milliseconds(2)

    private func awaitOutcome() {
        let this = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleTask(in: Self.outcomePeriod) {
            let shells = this.value
            guard !shells.netfilter.isClosed else { return }
            guard let outcome = shells.netfilter.takeOutcome() else { return shells.awaitOutcome() }
            shells.committed(shells.result(outcome.failure))
        }
    }

    /// If they can't be read, the grants stay in the ledger, and are asked for again.
    func lifetimes(of keys: [GrantKey]) -> [GrantKey: Duration] {
        do {
            return try netfilter.lifetimes(of: keys)
        } catch {
            failed("\(error)")
            return Dictionary(keys.map { ($0, Duration.seconds(1)) }) { first, _ in first }
        }
    }

    func cut(_ clients: [ServicePort: Set<AddressRange>]) {
        do {
            try netfilter.cut(clients)
        } catch {
            failed("flows to \(clients.count) ports were not all cut: \(error)")
        }
    }

    func write(_ event: AuditEvent) {
        var event = event
        event.host = hostName
        audit.write(event, at: HostClock.wallClock())
    }

    func tellFleet(_ message: DaemonMessage) { fleet?.tell(message) }

    /// Events that the log lost, in addition to those that a rate limit suppressed.
    var auditLost: Int { audit.lost }

    func reopenLog() { audit.reopen() }

    /// Reports an error of the daemon itself: the operator reads it on stderr, beside the audit log.
    func failed(_ detail: String) { writeError("rpcwarden: \(detail)") }
}

extension Transaction {
    /// Whether the transaction has so many ranges that calls must not wait for it. A transaction that makes the
    /// table is always waited for: without the table nothing can go on.
    fileprivate var takesLong: Bool {
        guard !operations.contains(where: { $0.madeTable != nil }) else { return false }
        let ranges = operations.count(where: \.isOfRanges)
        return ranges > Self.rangesMax || ranges > 0 && exchangesStanding
    }

    /// Ranges that take the kernel some milliseconds.
    private static let rangesMax = 256
}
