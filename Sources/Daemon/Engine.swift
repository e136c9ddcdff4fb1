import Addresses
import AuditLog
import AuditTrail
import Bundles
import Calls
import Clock
import Configuration
import Control
import Firewall
import Gate
import Glibc
import Liveness
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

/// Wires the daemon: passes the events of the shells to the Warden, whose actions the shells perform. Belongs to one
/// event loop.
final class Engine {
    let loop: any EventLoop
    let configuration: String?
    let shells: DaemonShells
    let core: ActionLoop<DaemonShells>
    let desk: Desk
    let startedAt = HostClock.now()
    /// When the mode in force came into force.
    private(set) lazy var modeSince = startedAt
    let processes: Processes
    var netfilter: NetfilterClient { shells.netfilter }
    private let belongings: Belongings
    /// The denials of the last hour, which the fleet is told.
    var hourlyDenials = HourlyCount()
    var standing = FleetStanding()
    var fleetMemory: FleetMemory?
    var orders = OrderQueue()
    var hasToldFullQueue = false
    var isVerifying = false
    var stateFolder: String? { belongings.state?.path }
    /// As the first policy was compiled.
    private let bundle: BundleWatch
    /// Processes that may not use the control socket.
    private let refusedPeers: Set<Int32>
    private var watchdog = Watchdog()
    private var keeper: GuardKeeper?
    private var control: ControlServer?
    private var metrics: MetricsServer?
    let thread: WorkThread
    private(set) lazy var reloader = makeReloader()
    private var tick: RepeatedTask?
    private lazy var commitWaiters = CommitWaiters { [core] in core.isCommitting }
    /// The fleet's bundle that was accepted is being written.
    private var remembering: EventLoopFuture<Void>?
    /// The listings of grants that are under way.
    var collections: [GrantCollection] = []
    private lazy var readiness = Readiness(startedAt: startedAt)
    /// States that the service manager's socket had no room for.
    private var untold: [String] = []
    /// Why revoked grants could not be checked last: it is tried at each tick, and the same message is written once.
    private var lastUnsettled: String?
    private(set) var isStopped = false
    private var nextCount = Instant.zero

    /// Period of the timer; every deadline is late by this at the most.
    private static let tickPeriod: TimeAmount = .milliseconds(50)

    init(
        on loop: any EventLoop, _ load: LoadResult, configuration: String?, _ processes: Processes,
        _ belongings: Belongings, refusedPeers: Set<Int32>
    ) throws {
        self.loop = loop
        self.configuration = configuration
        self.processes = processes
        self.belongings = belongings
        self.refusedPeers = refusedPeers
        thread = WorkThread(for: loop)
        desk = Desk(names: load.programNames)
        let settings = load.settings.fitted(to: processes.netfilter.features).fittedToDescriptors()
        shells = try DaemonShells(
            on: loop, processes.netfilter, try AuditLog(belongings.audit),
            findsOwners: settings.rpcbind.permitsLocalRegistration)
        shells.hostName = settings.audit.host
        let bundle = BundleWatch(load.bundle, settings, at: HostClock.wallClock())
        self.bundle = bundle
        core = ActionLoop(
            Warden(
                settings: settings,
                policies: PolicySet(rules: bundle.rules(load.rules), servers: settings.serverNames),
                names: load.programNames, trustedOwners: TrustedOwners(belongings.trustedOwners)), shells: shells)
        shells.committed = { [unowned self] in committed($0) }
        processes.whenLost { [unowned self] loss in processLost(loss) }
    }

    /// Installs the guard, then starts answering at the sockets.
    /// - Parameters:
    ///   - load: the policy in force.
    ///   - fetched: the bytes of the fleet's bundle in it, if rpcwarden-fleet fetched them.
    func start(_ load: LoadResult, fetchedBundle fetched: [UInt8]? = nil) throws -> EventLoopFuture<Void> {
        if core.warden.settings.rpcbind.permitsLocalRegistration, Owners.isOwnUserShared {
            failed(
                "rpcbind.local-registration: forwarded registrations are not trusted, since other services run as"
                    + " rpcwarden's uid \(geteuid()); give rpcwarden a user of its own")
        }
        let connector = processes.connector
        reloader.start(load, bundle, fetched: fetched, at: HostClock.now())
        try adoptTable()
        shells.clients = makeClients(connector)
        if let gateway = core.warden.settings.gateway {
            shells.serverCalls = ServerCalls(on: loop, gateway) { [unowned self] look, server, answers in
                handle { $0.servicesCalled(look, of: server, answers, at: $1, into: &$2) }
            }
            shells.clientPortmappers = ClientPortmappers(on: loop) { [unowned self] question, answer in
                handle { $0.clientAnswered(question, with: answer, at: $1, into: &$2) }
            }
        }
        startFleet(belongings.fleet)
        let server = PortmapServer(
            on: loop, recordBytesMax: core.warden.settings.limits.recordBytes,
            owedBytesMax: core.warden.settings.limits.owedBytes, delegate: self)
        shells.server = server
        let control = ControlServer(on: loop, socket: belongings.control, refusing: refusedPeers) {
            [unowned self] in answer($0)
        }
        self.control = control
        let this = NIOLoopBound(self, eventLoop: loop)
        return control.listen().flatMap { this.value.serveMetrics() }.flatMap { this.value.listen() }.map {
            this.value.startTicking()
        }
    }

    /// Of this host's rpcbind, and of each server's portmapper.
    private func makeClients(_ connector: ConnectorClient) -> [RpcbindClient] {
        let settings = core.warden.settings
        let here = RpcbindAccess.unixSocket(
            settings.rpcbind, trustedOwners: TrustedOwners(belongings.trustedOwners),
            connected: { connector.connect() })
        let servers = (settings.gateway?.servers ?? []).map { server in
            RpcbindAccess.server(server.name, at: server.portmapper, server.rpcbind)
        }
        return ([here] + servers).enumerated().map { number, access in
            RpcbindClient(
                on: loop, access, clock: HostClock.now,
                answered: { [unowned self] question, answer in
                    handle { $0.answered(question, with: answer, by: number, at: $1, into: &$2) }
                },
                delivered: { [unowned self] in
                    callsDelivered()
                    reportReadiness()
                })
        }
    }

    private func makeReloader() -> Reloader {
        let (connector, features) = (processes.connector, netfilter.features)
        let resolver = HostNameBook.Resolver(
            addresses: { connector.resolve($0) }, lifetime: { connector.lifetime(of: $0) })
        let surroundings = Reloader.Surroundings(
            read: { [unowned self] in askNetfilter { try $0.reload() } },
            enforce: { [unowned self] in askNetfilter { try $0.enforce() } },
            settings: { [core] in core.warden.settings }, fit: { $0.fitted(to: features).fittedToDescriptors() },
            putInForce: { [unowned self] in putInForce($0, $1) }, record: { [unowned self] in record($0) },
            remember: { [unowned self] in remember($0, $1) }, keptBundlePath: belongings.state?.keptBundle.path,
            failed: { [shells] in shells.failed($0) })
        return Reloader(on: loop, thread, configuration: configuration, resolver: resolver, surroundings)
    }

    /// A long commit keeps the netfilter process busy for seconds, in which calls are answered.
    private func askNetfilter(
        _ question: @escaping (NetfilterClient) throws -> Void
    ) -> EventLoopFuture<Void> {
        let this = NIOLoopBound((engine: self, question: question), eventLoop: loop)
        return awaitLongCommit().flatMapThrowing { try this.value.question(this.value.engine.netfilter) }
    }

    private func putInForce(_ policies: PolicySet, _ fresh: Settings?) -> EventLoopFuture<Void> {
        let settings = fresh.map { core.warden.settings.changedLive(to: $0) } ?? core.warden.settings
        shells.hostName = settings.audit.host
        if settings.mode != core.warden.settings.mode { modeSince = HostClock.now() }
        handle {
            $0.policyReplaced(policies, settings: settings, at: $1, into: &$2)
        }
        // What the former policy refused of the others may be permitted now.
        shells.fleet?.beginResync()
        return awaitLongCommit()
    }

    private func listen() -> EventLoopFuture<Void> {
        shells.server?.listen(at: belongings.listening) ?? loop.makeSucceededVoidFuture()
    }

    private func serveMetrics() -> EventLoopFuture<Void> {
        guard let place = core.warden.settings.metrics else { return loop.makeSucceededVoidFuture() }
        let metrics = MetricsServer(on: loop) { [unowned self] in snapshot() }
        self.metrics = metrics
        return metrics.listen(at: "\(place.address)", port: place.port)
    }

    private func adoptTable() throws {
        // Read before the table: the kernel reports remaining lifetimes, so the computed ends are never too late.
        let now = HostClock.now()
        handle { warden, _, _ in warden.wallClockRead(HostClock.wallClock(), at: now) }
        if let contents = try netfilter.contents() {
            // The table found has the remembered grants.
            let saved = savedGuard(memory: false)
            handle { warden, _, _ in warden.tableFound(contents, saved: saved, at: now) }
        } else {
            let saved = savedGuard(memory: true)
            handle { warden, _, _ in warden.tableMissing(saved: saved, at: now) }
        }
        keepGuard()
        handle { $0.flush(at: $1, into: &$2) }
        guard core.warden.isGuarding else { throw ServeError.tableRefused(shells.lastFailure ?? "no reason given") }
    }

    private func startTicking() {
        let this = NIOLoopBound(self, eventLoop: loop)
        tick = loop.scheduleRepeatedTask(initialDelay: .zero, delay: Self.tickPeriod) { _ in this.value.timeAdvanced() }
    }

    private func timeAdvanced() {
        let now = HostClock.now()
        watchdog.timeAdvanced(to: now, belongings.notifier)
        handle { warden, now, _ in warden.wallClockRead(HostClock.wallClock(), at: now) }
        reloader.timeAdvanced(to: now)
        advanceFleet(to: now)
        for client in shells.clients { client.timeAdvanced() }
        readKernelEvents()
        handle { $0.timeAdvanced(to: $1, into: &$2) }
        keeper?.timeAdvanced(to: now, mark: core.warden.savingMark) { core.warden.guardToSave(at: now) }
        reportReadiness()
    }

    /// The guard that an earlier run saved.
    private func savedGuard(memory: Bool) -> SavedGuard? {
        do {
            return try belongings.state?.file.read(memory: memory)?.found(at: .here())?
                .renumbered(for: core.warden.settings.tableShape.gateway)
        } catch {
            failed("the saved guard is ignored: \(error)")
            return nil
        }
    }

    private func remember(_ bundle: AcceptedBundle, _ fetched: [UInt8]?) {
        guard let state = belongings.state else {
            return failed("there is no state folder, so after a restart an older policy of the fleet is not refused")
        }
        let this = NIOLoopBound(self, eventLoop: loop)
        remembering = thread.run { Self.write(bundle, fetched, in: state) }.map { failures in
            for failure in failures { this.value.failed(failure) }
        }
    }

    /// First the bundle, then what is remembered of it: a crash in between leaves a fetched one that is good.
    /// - Returns: what failed, in words.
    private static func write(_ bundle: AcceptedBundle, _ fetched: [UInt8]?, in state: StateFolder) -> [String] {
        var failures: [String] = []
        do {
            if let fetched { try state.keptBundle.write(fetched) }
        } catch {
            failures.append(
                "the accepted bundle can't be kept, so a restart fails if the next one is refused: \(error)")
        }
        let file = state.bundleFile
        do {
            if try file.read() == bundle { return failures }
        } catch {
            failures.append("\(error)")
        }
        do {
            try file.write(bundle)
        } catch {
            failures.append(
                "the accepted bundle can't be remembered, so after a restart an older one is not refused: \(error)")
        }
        return failures
    }

    private func keepGuard() {
        guard let state = belongings.state else { return }
        let write = GuardKeeper.writing(to: state.file, at: .here())
        keeper = GuardKeeper(on: loop, write: write) { [unowned self] failure in
            failed("the guard can't be saved for the next boot: \(failure); it is retried without further messages")
        }
    }

    /// Saves the guard for the last time, before the daemon ends.
    func saveGuard() -> EventLoopFuture<Void> {
        let now = HostClock.now()
        fleetMemory?.close(mark: core.warden.endedMark) { core.warden.endedGrants }
        let saved = keeper?.close(at: now, mark: core.warden.savingMark, snapshot: core.warden.guardToSave(at: now))
        return loop.within(GuardKeeper.lastWritingMax, saved, remembering)
    }

    /// Reads the kernel's announcements. The tick is short enough: a flushed table must be restored within a
    /// second (HANDBOOK, invariant 7).
    func readKernelEvents() {
        guard !core.isCommitting, let events = netfilter.readEvents() else { return }
        if let files = events.reading { reloader.filesRead(files) }
        // A packet may bring back an element at the very moment of its revocation.
        if let failure = events.unsettled, failure.message != lastUnsettled {
            failed("a revoked grant was renewed by a packet, and can't be removed: \(failure.message)")
        }
        lastUnsettled = events.unsettled?.message
        for change in events.routing.changes { record(AuditEvent(.tampered, detail: change)) }
        if let failure = events.routing.failure { failed(failure) }
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
        guard core.warden.watch.isShielded(at: now), now >= nextCount || isStopped, !core.isCommitting else { return }
        nextCount = now + .milliseconds(500)
        do {
            let drops = try netfilter.drops()
            handle { warden, now, _ in warden.strangersDropped(total: drops.strangers, at: now) }
        } catch {
            failed("\(error)")
        }
    }

    private func reportReadiness() {
        defer { while let state = untold.first, belongings.notifier.notify(state) { untold.removeFirst() } }
        guard core.warden.isGuarding else { return }
        let told = readiness.guarded(
            isServed: core.warden.isThisHostServed, knowsNames: reloader.knowsNames, at: HostClock.now())
        guard let (state, isReadyNow) = told else { return }
        untold.append(state)
        guard isReadyNow else { return }
        record(AuditEvent(.started, detail: "rpcwarden \(Version.text), \(core.warden.settings.mode.rawValue)"))
        Memory.trimHeap()
    }

    /// Feeds one event to the Warden, and has all resulting actions performed.
    func handle(_ event: (inout Warden, Instant, inout [Action]) -> Void) { core.handle(event) }

    private func committed(_ result: CommitResult) {
        guard !isStopped else { return }
        core.committed(result)
        commitWaiters.commitEnded()
    }

    /// Completes when no long kernel transaction is under way.
    func awaitLongCommit() -> EventLoopFuture<Void> {
        guard !isStopped else { return loop.makeFailedFuture(ReloadRefusal.stopping) }
        return commitWaiters.wait(on: loop)
    }

    /// The Warden has already counted the events that it reports.
    func record(_ event: AuditEvent) {
        var isAdmitted = false
        handle { warden, now, _ in isAdmitted = warden.admitsEvent(event.kind, at: now) }
        if isAdmitted { shells.write(event) }
    }

    static let guardStays = "guard and grants stay in the kernel"
    static let nothingGuarded = "nothing is guarded any more"

    /// Removes the guard on purpose.
    func open() -> CommitFailure? { netfilter.commit(core.warden.gate.opening) }

    /// Ends only the process: the kernel keeps the guard. Idempotent.
    func stop(_ detail: String = Engine.guardStays) {
        guard !isStopped else { return }
        isStopped = true
        belongings.notifier.notify("STOPPING=1")
        tick?.cancel()
        shells.stopServing()
        control?.close()
        metrics?.close()
        reloader.close()
        thread.close()
        commitWaiters.fail(ReloadRefusal.stopping)
        for collection in collections { collection.promise.fail(ReloadRefusal.stopping) }
        collections = []
        // The second reading sums up what was dropped until the first.
        countDrops()
        countDrops()
        handle { $0.stopping(at: $1, into: &$2) }
        record(AuditEvent(.stopped, detail: detail))
        shells.close()
    }

    /// SIGHUP or `reload`: reopens the log file, and reads configuration and policy.
    /// - Returns: the changes, a line each, or a ``ReloadRefusal``.
    @discardableResult
    func refresh() -> EventLoopFuture<[String]> {
        shells.reopenLog()
        return reloader.reload()
    }

    func failed(_ detail: String) { shells.failed(detail) }
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
        handle { warden, now, _ in warden.connectionReceived(id, isInsideRecord: isInsideRecord, at: now) }
    }

    func repliesOverflowed(_ greediest: ConnectionID) {
        handle { warden, _, actions in warden.repliesOverflowed(greediest, into: &actions) }
    }

    func connectionsExhausted() {
        handle { $0.connectionsExhausted(into: &$2) }
    }

    func connectionClosed(_ id: ConnectionID) {
        handle { warden, _, _ in warden.connectionClosed(id) }
    }

    func recordRefused(_ peer: Peer, _ fault: RecordFault) {
        handle { $0.recordRefused(peer, fault, at: $1, into: &$2) }
    }

    func serverFailed(_ detail: String) {
        failed(detail)
    }
}
