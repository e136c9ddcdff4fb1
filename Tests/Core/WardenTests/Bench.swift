import Addresses
import AuditTrail
import Calls
import Clock
import Configuration
import Firewall
import ONCRPC
import Policy
import Portmapper
import Testing

@testable import Warden

/// Runs a Warden against a scripted rpcbind, scripted listeners and a model of the kernel's table, and executes
/// its actions in order, as `Engine` does.
struct Bench {
    var warden: Warden
    var now = Instant(nanoseconds: 1_000_000_000_000)
    var rpcbind = ScriptedRpcbind()
    var kernel = ModelKernel()
    /// The listeners at these ports. At other ports, each registered service has a socket of root, over both
    /// families.
    var silent: [ServicePort: ListenerState] = [:]
    /// Ports whose sockets outlive their registration.
    var outliving: Set<ServicePort> = []
    var listenersFail = false
    /// Questions stay unanswered until ``answerOne()``, ``answerAll()`` or ``loseAll()``.
    var holdsQuestions = false
    /// Commits stay unfinished until ``releaseCommits()``.
    var holdsCommits = false
    private var heldCommit: Transaction?

    private(set) var questions: [Question] = []
    private(set) var asked: [Question] = []
    /// The owner of every socket that the Warden inspects.
    var owner: UInt32? = 0
    private(set) var ownersAsked: [Peer] = []
    private(set) var replies: [Sent] = []
    private(set) var events: [AuditEvent] = []
    private(set) var closed: [ConnectionID] = []
    private(set) var cut: [Cut] = []
    private(set) var inspections: [Set<ServicePort>] = []

    struct Sent: Hashable {
        var reply: Reply
        var peer: Peer
    }

    struct Cut: Hashable {
        var clients: AddressRange
        var service: ServicePort
    }

    /// Called after each action.
    var audit: ((Action, Bench) -> Void)?
    private var pending: [Action] = []
    private var isRunning = false

    static let startOfTime = Timestamp(milliseconds: 1_795_000_000_000)

    init(_ rules: [Rule] = [], settings: Settings = Settings()) {
        warden = Warden(
            settings: settings, policy: Policy(rules: rules), names: .wellKnown, trustedOwners: ["superuser", "102"])
        warden.wallClockRead(Self.startOfTime, at: now)
    }

    /// A bench whose table is made and whose registry is read.
    static func started(
        _ rules: [Rule] = [], settings: Settings = Settings(), registering registrations: [RPCB] = .typical
    ) -> Bench {
        var bench = Bench(rules, settings: settings)
        bench.rpcbind.registrations = registrations
        bench.start()
        bench.forget()
        return bench
    }

    mutating func start() {
        kernel.now = now
        if let contents = kernel.contents {
            warden.tableFound(contents, at: now)
        } else {
            warden.tableMissing(at: now)
        }
        handle { $0.flush(at: $1, into: &$2) }
        advance(by: .zero)
    }

    /// Clears the collected results.
    mutating func forget() {
        (asked, replies, events, closed, cut, inspections) = ([], [], [], [], [], [])
        kernel.committed = []
    }

    mutating func handle(_ event: (inout Warden, Instant, inout [Action]) -> Void) {
        event(&warden, now, &pending)
        guard !isRunning else { return }
        isRunning = true
        defer { isRunning = false }
        var next = 0
        while next < pending.count {
            let action = pending[next]
            next += 1
            perform(action)
            audit?(action, self)
        }
        pending = []
    }

    private mutating func perform(_ action: Action) {
        switch action {
        case .sendReply(let reply, let peer): replies.append(Sent(reply: reply, peer: peer))
        case .closeConnection(let id): closed.append(id)
        case .ask(let question):
            asked.append(question)
            questions.append(question)
        case .inspectListeners(let services):
            inspections.append(services)
            let states = listenersFail ? nil : listening(services)
            handle { $0.listenersInspected(states, at: $1, into: &$2) }
        case .inspectOwner(let peer, let id):
            ownersAsked.append(peer)
            let uid = owner
            handle { $0.ownerInspected(id, uid, at: $1, into: &$2) }
        case .commit(let transaction) where holdsCommits: heldCommit = transaction
        case .commit(let transaction):
            let failure = kernel.commit(transaction)
            handle { $0.committed(failure, at: $1, into: &$2) }
        case .inspectGrants(let keys):
            let found = kernel.left(of: keys)
            handle { $0.grantsInspected(keys, found, at: $1, into: &$2) }
        case .cutFlows(let clients, let service): cut.append(Cut(clients: clients, service: service))
        case .audit(let event): events.append(event)
        }
    }

    /// The kernel finishes the transactions under way.
    mutating func releaseCommits() {
        holdsCommits = false
        guard let transaction = heldCommit else { return }
        heldCommit = nil
        let failure = kernel.commit(transaction)
        handle { $0.committed(failure, at: $1, into: &$2) }
    }

    private func listening(_ services: Set<ServicePort>) -> [ServicePort: ListenerState] {
        let registered = Set(rpcbind.registrations.compactMap { Registration($0)?.service }).union(outliving)
        return Dictionary(
            uniqueKeysWithValues: services.map { service in
                let isThere = registered.contains(service)
                return (service, silent[service] ?? ListenerState(ipv4: isThere, ipv6: isThere))
            })
    }

    /// rpcbind answers the oldest question.
    mutating func answerOne() {
        guard !questions.isEmpty else {
            Issue.record("rpcbind was asked nothing")
            return
        }
        let question = questions.removeFirst()
        let answer = rpcbind.answer(question)
        handle { $0.answered(question, with: answer, at: $1, into: &$2) }
    }

    mutating func answerAll() {
        while !questions.isEmpty { answerOne() }
        handle { $0.flush(at: $1, into: &$2) }
    }

    /// rpcbind answers none of the questions so far.
    mutating func loseAll() {
        let lost = questions
        questions = []
        for question in lost { handle { $0.answered(question, with: .failure(.timedOut), at: $1, into: &$2) } }
        handle { $0.flush(at: $1, into: &$2) }
    }

    private mutating func answerUnlessHeld() {
        if !holdsQuestions { answerAll() }
    }

    mutating func advance(by duration: Duration) {
        now = now + duration
        kernel.advance(to: now)
        handle { $0.timeAdvanced(to: $1, into: &$2) }
        answerUnlessHeld()
    }

    /// Advances to the next reading of the registry.
    mutating func refresh() { advance(by: .milliseconds(500)) }

    mutating func deliver(_ incoming: IncomingCall) {
        handle { $0.callReceived(incoming, at: $1, into: &$2) }
        handle { $0.flush(at: $1, into: &$2) }
        answerUnlessHeld()
    }

    mutating func call(_ call: PortmapperCall, from peer: Peer, xid: UInt32 = 7) {
        deliver(.init(call, from: peer, xid: xid))
    }

    /// Calls, and returns the replies, which are dropped from ``replies``.
    mutating func ask(_ portmapperCall: PortmapperCall, from peer: Peer, xid: UInt32 = 7) -> [Reply.Body] {
        let before = replies.count
        call(portmapperCall, from: peer, xid: xid)
        return replies[before...].map(\.reply.body)
    }

    mutating func reload(_ rules: [Rule], settings: Settings? = nil) {
        let policy = Policy(rules: rules)
        let settings = settings ?? warden.settings
        handle { $0.policyReplaced(policy, settings: settings, at: $1, into: &$2) }
        answerUnlessHeld()
    }

    func events(_ kind: AuditEvent.Kind) -> [AuditEvent] { events.filter { $0.kind == kind } }

    var denials: [DenialReason] { events(.denied).compactMap(\.reason) }

    /// No question, call or transaction is under way.
    var isQuiet: Bool {
        questions.isEmpty && warden.exchanges.isEmpty && warden.exchangesOfClient.isEmpty && warden.underWay.isEmpty
            && Transport.allCases.allSatisfy { warden.localExchanges[$0] == 0 }
            && warden.isInspectingNothing && warden.grantLooks.isEmpty && warden.revocationCauses.isEmpty
            && warden.writer.isIdle
    }
}

extension Warden {
    var isInspectingNothing: Bool { inspections.isEmpty && !nextInspection.isDue && nextInspection.readers.isEmpty }
}

extension IncomingCall {
    /// The call as decoded from its bytes.
    init(_ call: PortmapperCall, from peer: Peer, xid: UInt32 = 7) {
        self.init(peer: peer, xid: xid, byteCount: call.encoded(xid: xid).count, content: .call(call))
    }

    init(bytes: [UInt8], from peer: Peer) {
        self = bytes.withUnsafeBytes { IncomingCall(decoding: $0, from: peer) }
    }
}
