import Addresses
import AuditLog
import AuditTrail
import Calls
import Clock
import Control
import Firewall
import Glibc
import Metrics
import NIOCore
import Netfilter
import ONCRPC
import Policy
import PolicyFile
import PortmapServer
import Portmapper
import RpcbindClient
import Sandbox
import Warden

/// Connects the shells to the Warden: passes their events to it, and performs its actions. Belongs to one event loop.
final class Engine {
    let loop: any EventLoop
    let configuration: String?
    var warden: Warden
    let names: ProgramNames
    let startedAt = HostClock.now()
    let processes: Processes
    var netfilter: NetfilterClient { processes.netfilter }
    private let belongings: Belongings
    /// Processes that may not use the control socket.
    private let refusedPeers: Set<Int32>
    private let listeners: Listeners
    /// Set with `rpcbind.local-registration`.
    private let owners: SocketOwners?
    private let audit: AuditLog
    private var watchdog = Watchdog()
    private var keeper: GuardKeeper?
    private(set) var server: PortmapServer?
    private var client: RpcbindClient?
    private var control: ControlServer?
    private var metrics: MetricsServer?
    var hosts: HostNameBook?
    var rules: [Rule]
    /// The host names that the rules mention.
    var ruleNames: Set<String>
    var updates: PolicyUpdates
    private var tick: RepeatedTask?
    private var pending: [Action] = []
    /// The array of the actions performed last; its memory is reused.
    private var spare: [Action] = []
    /// Clients by service; their flows are cut once the commit under way is done.
    private var cuts: [ServicePort: Set<AddressRange>] = [:]
    /// Actions that would wait for the kernel.
    private var postponed: [Action] = []
    /// Promises that wait for a long commit to end.
    private var quiet: [EventLoopPromise<Void>] = []
    private var isRunning = false
    private var isReady = false
    private(set) var isStopped = false
    private var nextCount = Instant.zero

    /// Period of the timer; every deadline is late by this at the most.
    private static let tickPeriod: TimeAmount = .milliseconds(50)
    /// A megabyte or two; larger arrays are not kept. A reload may revoke all grants.
    private static let actionsKeptMax = 8192

    /// Names in /etc/hosts are resolved within this time, so no client is denied because of them; a name server
    /// may take longer.
    private static let namesAwaitedMax: Duration = .milliseconds(200)

    init(
        on loop: any EventLoop, _ load: LoadResult, configuration: String?, _ processes: Processes,
        _ belongings: Belongings, refusedPeers: Set<Int32>
    ) throws {
        self.loop = loop
        self.configuration = configuration
        self.processes = processes
        self.belongings = belongings
        self.refusedPeers = refusedPeers
        rules = load.rules
        ruleNames = HostNameBook.names(in: load.rules)
        updates = PolicyUpdates(on: loop)
        names = load.programNames
        listeners = try Listeners()
        owners = load.settings.rpcbind.permitsLocalRegistration ? try SocketOwners() : nil
        audit = try AuditLog(belongings.audit)
        warden = Warden(
            settings: load.settings.fitted(to: processes.netfilter.features).fittedToDescriptors(),
            policy: Policy(rules: load.rules), pending: PendingRules(rules: load.rules),
            names: load.programNames,
            trustedOwners: belongings.trustedOwners)
        processes.whenLost { [unowned self] loss in processLost(loss) }
    }

    /// Installs the guard, then starts answering at the sockets.
    func start() throws -> EventLoopFuture<Void> {
        if owners != nil, Owners.isOwnUserShared {
            failed(
                "rpcbind.local-registration: what is registered so is not trusted, for rpcwarden runs as uid \(geteuid()),"
                    + " as others do; give it a user of its own")
        }
        let connector = processes.connector
        let resolver = HostNameBook.Resolver(
            addresses: { connector.resolve($0) }, lifetime: { connector.lifetime(of: $0) })
        let hosts = HostNameBook(on: loop, resolver: resolver) { [unowned self] failure in hostNamesChanged(failure) }
        self.hosts = hosts
        hosts.watch(ruleNames)
        hosts.timeAdvanced(to: HostClock.now())
        try adoptTable()
        let client = RpcbindClient(
            on: loop, settings: warden.settings.rpcbind,
            trustedOwners: belongings.trustedOwners, clock: HostClock.now, connected: { connector.connect() },
            answered: { [unowned self] question, answer in
                handle { $0.answered(question, with: answer, at: $1, into: &$2) }
            },
            delivered: { [unowned self] in
                callsDelivered()
                reportReadiness()
            })
        self.client = client
        let server = PortmapServer(
            on: loop, recordBytesMax: warden.settings.limits.recordBytes,
            owedBytesMax: warden.settings.limits.owedBytes, delegate: self)
        self.server = server
        let control = ControlServer(on: loop, socket: belongings.control, refusing: refusedPeers) {
            [unowned self] in answer($0)
        }
        self.control = control
        let this = NIOLoopBound(self, eventLoop: loop)
        return control.listen().flatMap { this.value.serveMetrics() }.flatMap { this.value.listen() }.map {
            this.value.startTicking()
        }
    }

    private func listen() -> EventLoopFuture<Void> {
        server?.listen(at: belongings.listening) ?? loop.makeSucceededVoidFuture()
    }

    private func serveMetrics() -> EventLoopFuture<Void> {
        guard let place = warden.settings.metrics else { return loop.makeSucceededVoidFuture() }
        let metrics = MetricsServer(on: loop) { [unowned self] in snapshot() }
        self.metrics = metrics
        return metrics.listen(at: "\(place.address)", port: place.port)
    }

    private func adoptTable() throws {
        let now = HostClock.now()
        warden.wallClockRead(HostClock.wallClock(), at: now)
        if let contents = try tableContents() {
            // The table found has the remembered grants.
            warden.tableFound(contents, saved: savedGuard(memory: false), at: now)
        } else {
            warden.tableMissing(saved: savedGuard(memory: true), at: now)
        }
        keepGuard()
        handle { $0.flush(at: $1, into: &$2) }
        guard warden.isGuarding else { throw ServeError.tableRefused(lastFailure ?? "no reason given") }
    }

    /// The message of the last transaction that the kernel refused.
    private var lastFailure: String?

    private func startTicking() {
        let this = NIOLoopBound(self, eventLoop: loop)
        tick = loop.scheduleRepeatedTask(initialDelay: .zero, delay: Self.tickPeriod) { _ in this.value.timeAdvanced() }
    }

    private func timeAdvanced() {
        let now = HostClock.now()
        watchdog.timeAdvanced(to: now, belongings.notifier)
        warden.wallClockRead(HostClock.wallClock(), at: now)
        hosts?.timeAdvanced(to: now)
        client?.timeAdvanced()
        readKernelEvents()
        handle { $0.timeAdvanced(to: $1, into: &$2) }
        keeper?.timeAdvanced(to: now, mark: warden.savingMark) { warden.guardToSave(at: now) }
        reportReadiness()
    }

    /// The guard that an earlier run saved.
    private func savedGuard(memory: Bool) -> SavedGuard? {
        do {
            return try belongings.state?.file.read(memory: memory)?.found(at: .here())
        } catch {
            failed("the saved guard counts for nothing: \(error)")
            return nil
        }
    }

    private func keepGuard() {
        guard let state = belongings.state else { return }
        let write = GuardKeeper.writing(to: state.file, at: .here())
        keeper = GuardKeeper(on: loop, write: write) { [unowned self] failure in
            failed("the guard can't be saved for the next boot: \(failure); it is tried again, and not told again")
        }
    }

    /// Saves the guard for the last time, before the daemon ends.
    func saveGuard() -> EventLoopFuture<Void> {
        let now = HostClock.now()
        return keeper?.close(at: now, mark: warden.savingMark, snapshot: warden.guardToSave(at: now))
            ?? loop.makeSucceededVoidFuture()
    }

    /// Reads the kernel's announcements. The tick is short enough: a flushed table must be restored within a
    /// second (HANDBOOK, invariant 7).
    func readKernelEvents() {
        guard !netfilter.isBusy, let events = netfilter.readEvents() else { return }
        if let reading = events.reading { updates.reading = reading }
        // A packet may bring back an element at the very moment of its revocation.
        if let failure = events.unsettled { failed("a revoked grant came back, and stays: \(failure.message)") }
        if !events.changes.isEmpty { handle { $0.tableChanged(events.changes, at: $1, into: &$2) } }
        countDrops()
        guard !events.packets.isEmpty else { return }
        handle { warden, now, actions in
            for packet in events.packets { warden.packetDropped(packet, at: now, into: &actions) }
            warden.flush(at: now, into: &actions)
        }
    }

    /// Without the other processes nothing can be opened, and rpcbind can't be asked; the service manager restarts
    /// everything.
    private func processLost(_ loss: String) {
        failed(loss)
        kill(getpid(), SIGTERM)
    }

    /// Counts strangers that the kernel dropped while the portmapper is shielded: they count as denied.
    private func countDrops() {
        let now = HostClock.now()
        guard warden.isShielded(at: now), now >= nextCount || isStopped, !netfilter.isBusy else { return }
        nextCount = now + .milliseconds(500)
        do {
            let drops = try netfilter.drops()
            handle { warden, now, _ in warden.strangersDropped(total: drops.strangers, at: now) }
        } catch {
            failed("\(error)")
        }
    }

    private func reportReadiness() {
        guard !isReady, warden.isGuarding, warden.registry != nil, areNamesKnownOrLate else { return }
        isReady = true
        record(AuditEvent(.started, detail: "rpcwarden \(Version.text), \(warden.settings.mode.rawValue)"))
        belongings.notifier.notify("READY=1")
        Memory.trimHeap()
    }

    private var areNamesKnownOrLate: Bool {
        hosts?.isComplete != false && updates.isSettled || HostClock.now() >= startedAt + Self.namesAwaitedMax
    }

    /// Feeds one event to the Warden, and performs all resulting actions.
    func handle(_ event: (inout Warden, Instant, inout [Action]) -> Void) {
        event(&warden, HostClock.now(), &pending)
        guard !isRunning else { return }
        isRunning = true
        defer { isRunning = false }
        var actions: [Action] = []
        swap(&actions, &spare)
        while !pending.isEmpty {
            swap(&actions, &pending)
            // Performed in place: an iterator would copy each action.
            actions.withUnsafeBufferPointer { for index in $0.indices { perform($0[index]) } }
            actions.removeAll(keepingCapacity: true)
        }
        if actions.capacity <= Self.actionsKeptMax { spare = actions }
        if !cuts.isEmpty, !netfilter.isBusy { cutFlows() }
    }

    private func perform(_ action: Action) {
        switch action {
        case .sendReply(let reply, let peer): server?.send(reply, to: peer)
        case .closeConnection(let id): server?.closeConnection(id)
        case .ask(let question): client?.ask(question)
        case .inspectListeners(let services):
            let states = inspect(services)
            handle { $0.listenersInspected(states, at: $1, into: &$2) }
        case .inspectOwner(let peer, let id):
            let uid = owner(of: peer)
            handle { $0.ownerInspected(id, uid, at: $1, into: &$2) }
        case .commit(let transaction) where transaction.takesLong:
            netfilter.begin(transaction)
            lookForOutcome()
        case .commit(let transaction): committed(netfilter.commit(transaction))
        // Not `action`: the compiler would copy it for all cases.
        case .inspectGrants(let keys) where netfilter.isBusy: postponed.append(.inspectGrants(keys))
        case .inspectGrants(let keys): inspect(keys)
        case .cutFlows(let clients, let service): cuts[service, default: []].insert(clients)
        case .audit(let event): write(event)
        }
    }

    private func committed(_ failure: CommitFailure?) {
        // A refused transaction is retried several times a second, for hours if need be; the same message is
        // written once.
        if let failure, failure.message != lastFailure {
            failed("the kernel refused a transaction: \(failure.message)")
        }
        lastFailure = failure?.message
        handle { $0.committed(failure, at: $1, into: &$2) }
    }

    private static let outcomePeriod: TimeAmount = .milliseconds(2)

    private func lookForOutcome() {
        let this = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleTask(in: Self.outcomePeriod) {
            let engine = this.value
            guard !engine.isStopped else { return }
            guard let outcome = engine.netfilter.takeOutcome() else { return engine.lookForOutcome() }
            engine.committed(outcome.failure)
            let due = engine.postponed
            engine.postponed = []
            engine.handle { $2 += due }
            guard !engine.netfilter.isBusy else { return }
            for promise in engine.quiet { promise.succeed() }
            engine.quiet = []
        }
    }

    /// Completes when no long kernel transaction is under way.
    func awaitLongCommit() -> EventLoopFuture<Void> {
        guard netfilter.isBusy else { return loop.makeSucceededVoidFuture() }
        let promise = loop.makePromise(of: Void.self)
        quiet.append(promise)
        return promise.futureResult
    }

    func inspect(_ services: Set<ServicePort>) -> [ServicePort: ListenerState]? {
        do {
            return try listeners.listening(services)
        } catch {
            failed("\(error)")
            return nil
        }
    }

    /// The uid of the sender of a message from this host; `nil` if it can't be determined.
    private func owner(of peer: Peer) -> UInt32? {
        do {
            let source = UniversalAddress(host: peer.address, port: peer.port)
            return try owners?.owner(of: peer.transport, from: source, to: peer.asked)
        } catch {
            failed("\(error)")
            return nil
        }
    }

    private func inspect(_ keys: [GrantKey]) {
        do {
            let found = try netfilter.lifetimes(of: keys)
            handle { $0.grantsInspected(keys, found, at: $1, into: &$2) }
        } catch {
            // The grants stay in the ledger, and are asked for again.
            failed("\(error)")
            let later = Dictionary(keys.map { ($0, Duration.seconds(1)) }) { first, _ in first }
            handle { $0.grantsInspected(keys, later, at: $1, into: &$2) }
        }
    }

    /// The kernel searches all its flows for each request, so clients that lose the same port share one.
    private func cutFlows() {
        let due = cuts
        cuts = [:]
        for (service, clients) in due {
            do {
                try netfilter.cut(clients: clients, service: service)
            } catch {
                failed("flows to \(service) were not cut: \(error)")
            }
        }
    }

    /// The Warden has already counted the events that it reports.
    func record(_ event: AuditEvent) {
        warden.noteEvent(event.kind)
        write(event)
    }

    private func write(_ event: AuditEvent) {
        var event = event
        event.host = warden.settings.audit.host
        audit.write(event, at: HostClock.wallClock())
    }

    /// Reports an error of the daemon itself: the operator reads it on stderr, beside the audit log.
    func failed(_ detail: String) {
        writeError("rpcwarden: \(detail)")
    }

    func tableContents() throws -> TableContents? { try netfilter.contents() }

    static let guardStays = "guard and grants stay in the kernel"
    static let nothingGuarded = "nothing is guarded any more"

    /// Removes the guard on purpose.
    func open() -> CommitFailure? { netfilter.commit(warden.opening) }

    /// Ends only the process: the kernel keeps the guard. Idempotent.
    func stop(_ detail: String = Engine.guardStays) {
        guard !isStopped else { return }
        isStopped = true
        belongings.notifier.notify("STOPPING=1")
        tick?.cancel()
        server?.close()
        client?.close()
        control?.close()
        metrics?.close()
        hosts?.close()
        for promise in quiet { promise.fail(ReloadRefusal.stopping) }
        quiet = []
        for promise in updates.close() { promise.fail(ReloadRefusal.stopping) }
        countDrops()
        handle { $0.stopping(at: $1, into: &$2) }
        record(AuditEvent(.stopped, detail: detail))
        audit.close()
        netfilter.close()
    }

    /// SIGHUP or `reload`: reopens the log file, and reads configuration and policy.
    /// - Returns: the changes, a line each, or a ``ReloadRefusal``.
    @discardableResult
    func refresh() -> EventLoopFuture<[String]> {
        audit.reopen()
        return reload()
    }

    /// Events that the log lost, in addition to those that a rate limit suppressed.
    var auditLost: Int { audit.lost }
}

extension Transaction {
    /// Whether the transaction has so many ranges that calls must not wait for it. A transaction that makes the
    /// table is always waited for: without the table nothing can go on.
    fileprivate var takesLong: Bool {
        var ranges = 0
        for operation in operations {
            switch operation {
            case .makeTable, .adoptTable: return false
            case .replaceStanding: return true
            case .addStanding, .removeStanding: ranges += 1
            case .deleteTable, .guardPort, .unguardPort, .issue, .issueNew, .revoke, .remember, .forget, .quarantine,
                .release, .shield, .unshield:
                break
            }
        }
        return ranges > Self.rangesMax
    }

    /// Ranges that take the kernel some milliseconds.
    private static let rangesMax = 256
}

extension Engine: PortmapServerDelegate {
    func callsReceived(_ calls: (_ take: (IncomingCall) -> Void) -> Void) {
        handle { warden, now, actions in
            calls { warden.callReceived($0, at: now, into: &actions) }
        }
    }

    func callsDelivered() {
        handle { $0.flush(at: $1, into: &$2) }
    }

    func connectionOpened(_ peer: Peer) {
        handle { $0.connectionOpened(peer, at: $1, into: &$2) }
    }

    func connectionReceived(_ id: ConnectionID, isInsideRecord: Bool) {
        warden.connectionReceived(id, isInsideRecord: isInsideRecord, at: HostClock.now())
    }

    func repliesOverflowed(_ greediest: ConnectionID) {
        handle { warden, _, actions in warden.repliesOverflowed(greediest, into: &actions) }
    }

    func connectionsExhausted() {
        handle { $0.connectionsExhausted(into: &$2) }
    }

    func connectionClosed(_ id: ConnectionID) {
        warden.connectionClosed(id)
    }

    func recordRefused(_ peer: Peer, _ fault: RecordFault) {
        handle { $0.recordRefused(peer, fault, at: $1, into: &$2) }
    }

    func serverFailed(_ detail: String) {
        failed(detail)
    }
}
