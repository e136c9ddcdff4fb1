import Addresses
import AuditTrail
import Calls
import Clock
import Configuration
import CoreSamples
import Firewall
import FleetRecords
import ONCRPC
import Policy
import Portmapper
import Testing

@testable import Exchanges
@testable import Gate
@testable import Upstream
@testable import Warden

/// Runs a Warden in the daemon's own loop, against a scripted rpcbind, scripted listeners and a model of the kernel's
/// table.
final class Bench: ActionShells {
    private(set) lazy var loop = ActionLoop(makeWarden(), shells: self)
    var now = Instant(nanoseconds: 1_000_000_000_000)
    var rpcbind = ScriptedRpcbind()
    /// The portmappers of the servers behind this gateway, by their numbers.
    var portmappers: [ServerNumber: ScriptedRpcbind] = [:]
    /// Services of servers that don't answer their NULL calls.
    var dead: Set<ServicePort> = []
    /// Services of servers whose NULL calls are refused.
    var refused: Set<ServicePort> = []
    /// NULL calls to services of servers.
    private(set) var called: [LivenessQuestion] = []
    /// NULL calls stay unanswered until ``answerCalls()``.
    var holdsCalls = false
    private var heldCalls: [() -> Void] = []
    /// The ports that clients' portmappers tell; a client without one doesn't answer.
    var clientPorts: [IPAddress: [Program: UInt16]] = [:]
    private(set) var clientQuestions: [ClientQuestion] = []
    /// Clients' portmappers answer only by ``answerClients()``.
    var holdsClients = false
    private var heldClients: [ClientQuestion] = []
    var kernel = ModelKernel()
    /// The listeners at these ports. At other ports, each registered service has a socket of root, over both
    /// families.
    var silent: [ServicePort: ListenerState] = [:]
    /// Ports whose sockets outlive their registration.
    var outliving: Set<ServicePort> = []
    var listenersFail = false
    /// The kernel takes this long for each look at listeners.
    var looksTake: Duration = .zero
    /// Questions stay unanswered until ``answerOne()``, ``answerAll()`` or ``loseAll()``.
    var holdsQuestions = false
    /// Commits stay unfinished until ``releaseCommits()``.
    var holdsCommits = false
    private var heldCommit: Transaction?

    struct Posed: Hashable {
        var question: Question
        var server: ServerNumber
    }

    private(set) var questions: [Posed] = []
    /// Questions to this host's rpcbind.
    private(set) var asked: [Question] = []
    /// Questions to the portmappers of servers.
    private(set) var askedServers: [Posed] = []
    /// The owner of every socket that the Warden inspects.
    var owner: UInt32? = 0
    private(set) var ownersAsked: [Peer] = []
    private(set) var replies: [Sent] = []
    private(set) var events: [AuditEvent] = []
    /// What the other nodes of a fleet are told.
    private(set) var told: [DaemonMessage] = []
    /// The grants whose lives the kernel was asked for.
    private(set) var inspected: [GrantKey] = []
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

    enum Performed {
        case reply(Sent)
        case question(Question)
        case clientQuestion(ClientQuestion)
        case ownerLookUp(Peer)
        case commit(Transaction)
    }

    /// Called after each of these actions.
    var audit: ((Performed, Bench) -> Void)?
    private let makeWarden: () -> Warden

    static let startOfTime = Timestamp(milliseconds: 1_795_000_000_000)

    init(_ rules: [Rule] = [], pending: PendingRules? = nil, settings: Settings = Settings()) {
        makeWarden = {
            Warden(
                settings: settings, policies: Self.policies(rules, pending: pending, settings), names: .wellKnown,
                trustedOwners: ["superuser", "102"])
        }
        handle { warden, now, _ in warden.wallClockRead(Self.startOfTime, at: now) }
    }

    private static func policies(_ rules: [Rule], pending: PendingRules? = nil, _ settings: Settings) -> PolicySet {
        if let pending { return PolicySet(Policy(rules: rules), pending: pending) }
        return PolicySet(rules: rules, servers: settings.gateway?.servers.map(\.name) ?? [])
    }

    /// A bench whose table is made and whose registry is read.
    static func started(
        _ rules: [Rule] = [], settings: Settings = Settings(), registering registrations: [RPCB] = .typical
    ) -> Bench {
        let bench = Bench(rules, settings: settings)
        bench.rpcbind.registrations = registrations
        bench.start()
        bench.forget()
        return bench
    }

    func start() {
        kernel.now = now
        let contents = kernel.contents
        handle { warden, now, _ in
            if let contents {
                warden.tableFound(contents, at: now)
            } else {
                warden.tableMissing(at: now)
            }
        }
        handle { $0.flush(at: $1, into: &$2) }
        advance(by: .zero)
    }

    /// Clears the collected results.
    func forget() {
        (asked, replies, events, closed, cut, inspections) = ([], [], [], [], [], [])
        (askedServers, called, clientQuestions, told, inspected) = ([], [], [], [], [])
        kernel.committed = []
    }

    func handle(_ event: (inout Warden, Instant, inout [Action]) -> Void) { loop.handle(event) }

    /// A page of what this node tells its fleet at a resync.
    func sharedGrants(fromPlace place: Int, count: Int) -> (messages: [DaemonMessage], next: Int?) {
        var page: (messages: [DaemonMessage], next: Int?) = ([], nil)
        handle { warden, now, _ in page = warden.sharedGrants(fromPlace: place, count: count, at: now) }
        return page
    }

    func send(_ reply: Reply, to peer: Peer) {
        replies.append(Sent(reply: reply, peer: peer))
        audit?(.reply(Sent(reply: reply, peer: peer)), self)
    }

    func closeConnection(_ id: ConnectionID) { closed.append(id) }

    func ask(_ question: Question, of server: ServerNumber) {
        let posed = Posed(question: question, server: server)
        if server == 0 { asked.append(question) } else { askedServers.append(posed) }
        questions.append(posed)
        audit?(.question(question), self)
    }

    func callServices(_ questions: [LivenessQuestion], of server: ServerNumber, look: Int) {
        called += questions
        let answers = Dictionary(uniqueKeysWithValues: questions.map { ($0, liveness(of: $0.service)) })
        let answer = { [unowned self] in
            handle { $0.servicesCalled(look, of: server, answers, at: $1, into: &$2) }
        }
        guard holdsCalls else { return answer() }
        heldCalls.append(answer)
    }

    private func liveness(of service: ServicePort) -> LivenessAnswer {
        if refused.contains(service) { return .refused }
        return dead.contains(service) ? .dead : .alive
    }

    func askClient(_ question: ClientQuestion) {
        clientQuestions.append(question)
        audit?(.clientQuestion(question), self)
        if holdsClients { heldClients.append(question) } else { answer(question) }
    }

    private func answer(_ question: ClientQuestion) {
        let ports = clientPorts[question.client]
        let answer: Result<UInt16, RpcbindFailure> =
            ports.map { .success($0[question.program] ?? 0) } ?? .failure(.timedOut)
        handle { $0.clientAnswered(question, with: answer, at: $1, into: &$2) }
    }

    func answerClients() {
        let held = heldClients
        heldClients = []
        for question in held { answer(question) }
    }

    func answerCalls() {
        let held = heldCalls
        heldCalls = []
        for answer in held { answer() }
    }

    func listeners(at services: Set<ServicePort>) -> [ServicePort: ListenerState]? {
        inspections.append(services)
        now = now + looksTake
        return listenersFail ? nil : listening(services)
    }

    func owner(of peer: Peer) -> UInt32? {
        ownersAsked.append(peer)
        audit?(.ownerLookUp(peer), self)
        return owner
    }

    func commit(_ transaction: Transaction) -> CommitResult? {
        guard !holdsCommits else {
            heldCommit = transaction
            return nil
        }
        defer { audit?(.commit(transaction), self) }
        return result(of: transaction)
    }

    private func result(of transaction: Transaction) -> CommitResult {
        kernel.commit(transaction).map(CommitResult.failed) ?? .done
    }

    func lifetimes(of keys: [GrantKey]) -> [GrantKey: Duration] {
        inspected += keys
        return kernel.left(of: keys)
    }

    func cut(_ clients: [ServicePort: Set<AddressRange>]) {
        for (service, clients) in clients { cut += clients.sorted().map { Cut(clients: $0, service: service) } }
    }

    func write(_ event: AuditEvent) { events.append(event) }
    func tellFleet(_ message: DaemonMessage) { told.append(message) }

    /// The kernel finishes the transactions under way.
    func releaseCommits() {
        holdsCommits = false
        guard let transaction = heldCommit else { return }
        heldCommit = nil
        loop.committed(result(of: transaction))
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
    func answerOne() {
        guard !questions.isEmpty else {
            Issue.record("rpcbind was asked nothing")
            return
        }
        let posed = questions.removeFirst()
        let answer = posed.server == 0 ? rpcbind.answer(posed.question) : answer(of: posed)
        handle { $0.answered(posed.question, with: answer, by: posed.server, at: $1, into: &$2) }
    }

    private func answer(of posed: Posed) -> Result<RpcbindAnswer, RpcbindFailure> {
        guard var portmapper = portmappers[posed.server] else { return .failure(.unreachable("no route to host")) }
        defer { portmappers[posed.server] = portmapper }
        return portmapper.answer(posed.question)
    }

    func answerAll() {
        while !questions.isEmpty { answerOne() }
        handle { $0.flush(at: $1, into: &$2) }
    }

    /// rpcbind answers none of the questions so far.
    func loseAll() {
        let lost = questions
        questions = []
        for posed in lost {
            handle { $0.answered(posed.question, with: .failure(.timedOut), by: posed.server, at: $1, into: &$2) }
        }
        handle { $0.flush(at: $1, into: &$2) }
    }

    private func answerUnlessHeld() {
        if !holdsQuestions { answerAll() }
    }

    func advance(by duration: Duration) {
        now = now + duration
        kernel.advance(to: now)
        handle { $0.timeAdvanced(to: $1, into: &$2) }
        answerUnlessHeld()
    }

    /// Advances to the next reading of the registry.
    func refresh() { advance(by: .milliseconds(500)) }

    func deliver(_ incoming: IncomingCall) {
        handle { $0.callReceived(incoming, at: $1, into: &$2) }
        handle { $0.flush(at: $1, into: &$2) }
        answerUnlessHeld()
    }

    func call(_ call: PortmapperCall, from peer: Peer, xid: UInt32 = 7) {
        deliver(.init(call, from: peer, xid: xid))
    }

    /// Calls, and returns the replies, which are dropped from ``replies``.
    func ask(_ portmapperCall: PortmapperCall, from peer: Peer, xid: UInt32 = 7) -> [Reply.Body] {
        let before = replies.count
        call(portmapperCall, from: peer, xid: xid)
        return replies[before...].map(\.reply.body)
    }

    func reload(_ rules: [Rule], settings: Settings? = nil) {
        let settings = settings ?? loop.warden.settings
        let policies = Self.policies(rules, settings)
        handle { $0.policyReplaced(policies, settings: settings, at: $1, into: &$2) }
        answerUnlessHeld()
    }

    func events(_ kind: AuditEvent.Kind) -> [AuditEvent] { events.filter { $0.kind == kind } }

    var denials: [DenialReason] { events(.denied).compactMap(\.reason) }

    /// No question, call or transaction is under way.
    var isQuiet: Bool {
        questions.isEmpty && loop.warden.exchanges.isQuiet && loop.warden.gate.isQuiet
            && loop.warden.servers.indices.allSatisfy { !loop.warden.servers[$0].upstream.isLooking }
    }
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
