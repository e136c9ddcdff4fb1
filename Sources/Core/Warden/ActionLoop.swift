import Addresses
import AuditTrail
import Calls
import Clock
import Firewall
import FleetRecords
import ONCRPC
import Policy

/// What the actions of the Warden need of the world outside.
public protocol ActionShells: AnyObject {
    var now: Instant { get }
    func send(_ reply: Reply, to peer: Peer)
    func closeConnection(_ id: ConnectionID)
    /// Asks the server's rpcbind; the answer comes as an event (``Warden/answered(_:with:by:at:into:)``).
    func ask(_ question: Question, of server: ServerNumber)
    /// Calls services of a server; the answers come later (``Warden/servicesCalled(_:of:_:at:into:)``).
    func callServices(_ questions: [LivenessQuestion], of server: ServerNumber, look: Int)
    /// Asks the portmapper of a client; the answer comes later (``Warden/clientAnswered(_:with:at:into:)``).
    func askClient(_ question: ClientQuestion)
    /// `nil`: the listeners can't be inspected.
    func listeners(at services: Set<ServicePort>) -> [ServicePort: ListenerState]?
    /// The uid of the sender of a message from this host; `nil` if it can't be determined.
    func owner(of peer: Peer) -> UInt32?
    /// - Returns: the result; `nil` if it comes later (``ActionLoop/committed(_:)``), because the transaction takes
    ///   the kernel long.
    func commit(_ transaction: Transaction) -> CommitResult?
    /// The remaining lives of these grants as far as the kernel holds them.
    func lifetimes(of keys: [GrantKey]) -> [GrantKey: Duration]
    /// Deletes the conntrack entries of these clients' flows to each port.
    func cut(_ clients: [ServicePort: Set<AddressRange>])
    func write(_ event: AuditEvent)
    func tellFleet(_ message: DaemonMessage)
}

public enum CommitResult: Hashable, Sendable {
    /// The kernel has done the whole transaction.
    case done
    case failed(CommitFailure)
}

/// Feeds events to the Warden, and has the shells perform its actions, each in its turn.
///
/// An event that an action causes at once waits until the actions before it are performed. While a long transaction
/// is under way, actions that the kernel would have to answer wait, too; calls go on.
public final class ActionLoop<Shells: ActionShells> {
    public private(set) var warden: Warden
    private unowned let shells: Shells
    private var pending: [Action] = []
    /// The array of the actions performed last; its memory is reused.
    private var spare: [Action] = []
    private var isRunning = false
    /// Whether a transaction takes the kernel long, so that other requests would wait for it.
    public private(set) var isCommitting = false
    /// Actions that wait for the end of a long transaction.
    private var postponed: [Action] = []
    /// Clients by service; their flows are cut after the actions of an event, and not during a long transaction.
    private var cuts: [ServicePort: Set<AddressRange>] = [:]

    /// A megabyte or two; larger arrays are not kept. A reload may revoke all grants.
    private static var actionsKeptMax: Int { 8192 }

    public init(_ warden: consuming Warden, shells: Shells) {
        self.warden = warden
        self.shells = shells
    }

    /// Feeds one event to the Warden, and performs all resulting actions.
    public func handle(_ event: (inout Warden, Instant, inout [Action]) -> Void) {
        event(&warden, shells.now, &pending)
        guard !isRunning else { return }
        isRunning = true
        defer { isRunning = false }
        var actions: [Action] = []
        swap(&actions, &spare)
        while !pending.isEmpty {
            swap(&actions, &pending)
            // Taken from the end, each action is moved; from the start, it would be copied.
            actions.reverse()
            while let action = actions.popLast() { perform(action) }
        }
        if actions.capacity <= Self.actionsKeptMax { spare = actions }
        if !cuts.isEmpty, !isCommitting { cutFlows() }
    }

    private func perform(_ action: consuming Action) {
        switch consume action {
        case .sendReply(let reply, let peer): shells.send(reply, to: peer)
        case .closeConnection(let id): shells.closeConnection(id)
        case .ask(let question, let server): shells.ask(question, of: server)
        case .callServices(let questions, let server, let look):
            shells.callServices(questions, of: server, look: look)
        case .askClient(let question): shells.askClient(question)
        case .inspectListeners(let services, let look):
            let began = shells.now
            let states = shells.listeners(at: services)
            handle { $0.listenersInspected(look, states, since: began, at: $1, into: &$2) }
        case .inspectOwner(let peer, let id):
            let uid = shells.owner(of: peer)
            handle { $0.ownerInspected(id, uid, at: $1, into: &$2) }
        case .commit(let transaction):
            guard let result = shells.commit(transaction) else {
                isCommitting = true
                return
            }
            conclude(result)
        case .inspectGrants(let keys):
            guard !isCommitting else { return postponed.append(.inspectGrants(keys)) }
            let found = shells.lifetimes(of: keys)
            handle { $0.grantsInspected(keys, found, at: $1, into: &$2) }
        case .cutFlows(let clients, let service): cuts[service, default: []].insert(clients)
        case .audit(let event): shells.write(event)
        case .tellFleet(let message): shells.tellFleet(message)
        }
    }

    private func conclude(_ result: CommitResult) {
        let failure: CommitFailure? = if case .failed(let failure) = result { failure } else { nil }
        handle { $0.committed(failure, at: $1, into: &$2) }
    }

    /// The long transaction has ended. Another one may follow at once.
    public func committed(_ result: CommitResult) {
        isCommitting = false
        conclude(result)
        let due = postponed
        postponed = []
        handle { $2 += due }
    }

    /// The kernel searches all its flows for each request, so all cuts share one.
    private func cutFlows() {
        let due = cuts
        cuts = [:]
        shells.cut(due)
    }
}
