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
    /// What events and actions change, in one piece: each access to a property of an object is checked for overlaps at
    /// run time, and with a property for each part a look-up needed twice as many checks.
    private struct State: ~Copyable {
        var warden: Warden
        /// Actions that wait for those in ``due``.
        var pending: [Action] = []
        /// The actions that are being performed, the next one last: taken from the end, each is moved, not copied.
        var due: [Action] = []
        var isRunning = false

        /// A few hundred kilobytes; larger arrays are not kept. A reload may revoke all grants.
        private static var actionsKeptMax: Int { 8192 }

        init(_ warden: consuming Warden) { self.warden = warden }

        /// - Returns: whether there is anything to perform that nobody performs yet.
        mutating func feed(_ event: (inout Warden, Instant, inout [Action]) -> Void, at now: Instant) -> Bool {
            event(&warden, now, &pending)
            guard !isRunning, !pending.isEmpty else { return false }
            isRunning = true
            return true
        }

        mutating func nextAction() -> Action? {
            if let next = due.popLast() { return next }
            if pending.isEmpty {
                isRunning = false
                if due.capacity > Self.actionsKeptMax { due = [] }
                if pending.capacity > Self.actionsKeptMax { pending = [] }
                return nil
            }
            swap(&due, &pending)
            due.reverse()
            return due.popLast()
        }
    }

    private var state: State
    private unowned let shells: Shells
    /// Whether a transaction takes the kernel long, so that other requests would wait for it.
    public private(set) var isCommitting = false
    /// Actions that wait for the end of a long transaction.
    private var postponed: [Action] = []
    /// Clients by service; their flows are cut after the actions of an event, and not during a long transaction.
    private var cuts: [ServicePort: Set<AddressRange>] = [:]

    public var warden: Warden { _read { yield state.warden } }

    public init(_ warden: consuming Warden, shells: Shells) {
        state = State(warden)
        self.shells = shells
    }

    /// Feeds one event to the Warden, and performs all resulting actions.
    public func handle(_ event: (inout Warden, Instant, inout [Action]) -> Void) {
        let shells = shells
        guard state.feed(event, at: shells.now) else { return }
        while let action = state.nextAction() { perform(action, by: shells) }
        cutFlows()
    }

    private func perform(_ action: consuming Action, by shells: Shells) {
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
        cutFlows()
    }

    /// The kernel searches all its flows for each request, so all cuts share one.
    private func cutFlows() {
        guard !cuts.isEmpty, !isCommitting else { return }
        let due = cuts
        cuts = [:]
        shells.cut(due)
    }
}
