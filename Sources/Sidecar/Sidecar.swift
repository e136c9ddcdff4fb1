import Bundles
import Clock
import Configuration
import Etcd
import Fleet
import FleetRecords
import NIOCore
import NIOPosix
import Sandbox
import System

/// The sidecar: the daemon's socket and the store, and the node between them that decides. All of it on one event loop.
///
///     daemon ─lines─▶ DaemonInbox ─▶ FleetNode ─actions─▶ StoreDriver ─▶ etcd
///            ◀─offers, ends──────────   ▲  ◀──events───────┘
public final class Sidecar {
    public static let version = Version.text

    let loop: any EventLoop
    let settings: SidecarSettings
    let node: String
    let statePath: String
    let client: EtcdClient
    let files: NIOThreadPool
    let log: (String) -> Void
    private(set) lazy var daemon = DaemonLink(on: loop, path: settings.socketPath) { [unowned self] in daemonTold($0) }
    /// `nil` until the daemon said hello for the first time.
    private(set) var work: Work?
    private(set) var store: StoreState
    private(set) var hasDaemon = false
    /// Nodes that were seen, for ``nodes``.
    var book = NodeBook()
    var reportedRefusal: String?
    private var hasToldRefusedOrders = false
    private var nameSharedUntil = Instant.zero
    private var tick: RepeatedTask?
    private var isTrimDue = false
    private var nextTrim = Instant.zero
    private static let trimInterval = Duration.seconds(5)
    private var nextState = Instant.zero
    private var nextNodes = Instant.zero
    private let seed: UInt64

    /// What depends on the daemon's facts.
    struct Work {
        let facts: SidecarFacts
        var node: FleetNode
        var inbox: DaemonInbox
        let driver: StoreDriver
        var fetch: PolicyFetch?
        let shelf: PolicyShelf?
        var orders = OrderBook()
    }

    static let stateInterval = Duration.seconds(10)
    /// How long a node's name counts as shared; of two hosts, the one that wrote last sees nothing of the other.
    static let nameSharedHolds = Duration.seconds(300)
    /// How often the nodes are read, so that one that goes silent is known.
    static let nodesInterval = Duration.seconds(300)

    /// - Parameters:
    ///   - node: this node's name.
    ///   - log: tells what happens, a line each.
    public init(
        on loop: any EventLoop, _ settings: SidecarSettings, node: String, statePath: String, client: EtcdClient,
        files: NIOThreadPool, seed: UInt64 = .random(in: 0 ... .max), log: @escaping (String) -> Void
    ) {
        self.loop = loop
        self.settings = settings
        self.node = node
        self.statePath = statePath
        self.client = client
        self.files = files
        self.seed = seed
        self.log = log
        store = StoreState(since: HostClock.wallClock())
    }

    public func start() {
        let this = NIOLoopBound(self, eventLoop: loop)
        let interval = TimeAmount(FleetLimits.tick)
        tick = loop.scheduleRepeatedTask(initialDelay: .zero, delay: interval) { _ in this.value.timeAdvanced() }
    }

    public func stop() {
        tick?.cancel()
        daemon.close("the sidecar ends")
        work?.driver.close()
        work = nil
        client.close()
    }

    var now: Moment { Moment(HostClock.now(), HostClock.wallClock()) }

    private func timeAdvanced() {
        let now = now
        daemon.timeAdvanced(at: now.instant)
        advance(at: now)
        guard let driver = work?.driver else { return }
        driver.timeAdvanced(at: now.instant)
        if let action = work?.fetch?.timeAdvanced(at: now.instant) { perform(action) }
        if nextState <= now.instant { tellState(at: now) }
        trimMemory(at: now.instant)
        guard store.isConnected, nextNodes <= now.instant, let keys = work?.facts.keys else { return }
        nextNodes = now.instant + Self.nodesInterval
        _ = readNodes(driver, keys)
    }

    /// A storm of grants leaves much free memory behind.
    private func trimMemory(at now: Instant) {
        guard work?.node.isIdle == true else {
            isTrimDue = true
            return
        }
        guard isTrimDue, nextTrim <= now else { return }
        isTrimDue = false
        nextTrim = now + Self.trimInterval
        Memory.trimHeap()
    }

    // MARK: From the daemon

    private func daemonTold(_ event: DaemonLink.Event) {
        switch event {
        case .opened:
            daemon.send([.hello(version: Self.version, fleet: settings.fleet, node: node)])
        case .line(let line): take(line)
        case .closed(let reason):
            if hasDaemon { log("the daemon is away: \(reason)") }
            hasDaemon = false
        }
    }

    private func take(_ line: ByteBufferView) {
        let now = now
        do {
            let message = try DaemonMessage(line: line)
            if case .hello(let facts) = message { return greet(facts, at: now) }
            guard hasDaemon, var work = work.take() else { return daemon.close("the daemon didn't say hello") }
            var actions: [FleetAction] = []
            defer {
                self.work = work
                perform(actions, at: now)
            }
            try work.inbox.received(message, &work.node, at: now, into: &actions)
        } catch RecordText.Fault.version {
            log("the daemon at \(settings.socketPath) is of another version; install both packages of one version")
            daemon.refuse("another version", at: now.instant)
        } catch {
            daemon.close("a line can't be followed: \(error)")
        }
    }

    private func greet(_ facts: DaemonFacts, at now: Moment) {
        daemon.accepted()
        hasDaemon = true
        let facts = SidecarFacts(fleet: settings.fleet, node: node, daemon: facts)
        log("the daemon \(facts.daemon.version) is here")
        if work?.facts.daemon != facts.daemon {
            work?.driver.abandon()
            work = begin(facts, at: now)
        } else {
            work?.inbox = DaemonInbox(facts.daemon)
            work?.node.daemonGreeted()
        }
        tellState(at: now)
        // What the daemon may have missed.
        if let serial = work?.fetch?.serial, serial > 0 { perform(.tell(serial: serial)) }
        tellRefusal()
        daemon.send((work?.orders.entries ?? []).map { .order(id: $0.id, text: $0.text) })
    }

    private func begin(_ facts: SidecarFacts, at now: Moment) -> Work {
        let driver = StoreDriver(client, facts.keys) { [unowned self] in storeTold($0) }
        store = StoreState(since: now.wall)
        let shelf = facts.daemon.policyGroup.map {
            PolicyShelf(folder: statePath, fleet: facts.fleet, group: $0, keysPath: facts.daemon.policyKeys)
        }
        return Work(
            facts: facts, node: FleetNode(facts.settings, seed: seed, at: now), inbox: DaemonInbox(facts.daemon),
            driver: driver, fetch: shelf.map { PolicyFetch(onDisk: serial(of: $0)) }, shelf: shelf)
    }

    private func serial(of shelf: PolicyShelf) -> UInt64 {
        do {
            return try shelf.serial()
        } catch {
            log("the policy in \(statePath) can't be read: \(error)")
            return 0
        }
    }

    @discardableResult
    func changeFetch<Result>(_ change: (inout PolicyFetch) -> Result?) -> Result? {
        guard var fetch = work?.fetch else { return nil }
        defer { work?.fetch = fetch }
        return change(&fetch)
    }

    // MARK: From the store

    private func storeTold(_ event: StoreEvent) {
        let now = now
        switch event {
        case .connected: setConnected(true, nil, at: now)
        case .lost(let reason):
            setConnected(false, reason, at: now)
            work?.fetch?.storeLost()
        case .policy(let announcement):
            if let action = work?.fetch?.announced(announcement, at: now.instant) { perform(action) }
            reportRefusal()
        case .order(let id, let bytes):
            if let order = work?.orders.put(id, bytes) { daemon.send([.order(id: order.id, text: order.text)]) }
            tellRefusedOrders()
        case .orderGone(let id): work?.orders.delete(id)
        case .ordersReadingBegan: work?.orders.readingBegan()
        case .ordersReadingEnded(let isWhole):
            work?.orders.readingEnded(isWhole: isWhole)
            tellRefusedOrders()
        case .nameShared: nameShared(at: now)
        case .page, .watchOpened, .changed, .readingAgain, .pageAgain, .compacted, .transactionEnded, .leaseGranted,
            .leaseLost:
            break
        }
        var actions: [FleetAction] = []
        work?.node.take(event, at: now, into: &actions)
        // The next transaction follows at once: a boot brings tens of thousands of grants.
        if case .transactionEnded = event { work?.node.timeAdvanced(at: now, into: &actions) }
        perform(actions, at: now)
    }

    private func nameShared(at now: Moment) {
        let isKnown = now.instant < nameSharedUntil
        nameSharedUntil = now.instant + Self.nameSharedHolds
        guard !isKnown else { return }
        log(
            "another host writes as the node \(node) of the fleet \(settings.fleet), too, so the records of both are"
                + " wrong; give each host a name of its own: the key node of rpcwarden-fleet's configuration")
        tellState(at: now)
    }

    private func tellRefusedOrders() {
        let isRefusing = (work?.orders.refused ?? 0) > 0
        defer { hasToldRefusedOrders = isRefusing }
        guard isRefusing, !hasToldRefusedOrders else { return }
        log(
            "some orders in the store can't be followed: more than \(FleetOrder.countMax), or no text of"
                + " \(FleetOrder.bytesMax) bytes; see who writes below orders/")
    }

    private func setConnected(_ isConnected: Bool, _ detail: String?, at now: Moment) {
        if store.isConnected != isConnected { store.since = now.wall }
        if store.isConnected != isConnected || store.detail != detail {
            log(isConnected ? "connected to etcd" : "etcd is away: \(detail ?? "")")
        }
        store.isConnected = isConnected
        store.detail = detail
    }

    // MARK: Actions

    private func advance(at now: Moment) {
        var actions: [FleetAction] = []
        work?.node.timeAdvanced(at: now, into: &actions)
        perform(actions, at: now)
        guard let node = work?.node else { return }
        let isChanged = store.isConnected != toldState?.isConnected || node.isSynced != toldState?.isSynced
        if isChanged { tellState(at: now) }
    }

    private func perform(_ actions: [FleetAction], at now: Moment) {
        for action in actions {
            switch action {
            case .offerGrants(let offers): daemon.send(offers.lazy.map { .offer($0) })
            case .endCopy(let grant): daemon.send([.end(grant)])
            case .offerQuarantines(let offers): daemon.send(offers.lazy.map { .quarantine($0) })
            case .hearDaemonAnew: daemon.close("the time of this host was set")
            case .connect, .grantLease, .keepLease, .transact, .read, .watch:
                work?.driver.perform(action, at: now.instant)
            }
        }
    }

    // MARK: The state

    private var toldState: StoreState?

    var state: StoreState {
        var state = store
        state.isSynced = work?.node.isSynced ?? false
        state.queue = work?.node.queueCount ?? 0
        state.isNameShared = HostClock.now() < nameSharedUntil
        return state
    }

    private func tellState(at now: Moment) {
        nextState = now.instant + Self.stateInterval
        let state = state
        toldState = state
        daemon.send([.store(state)])
    }
}

extension FleetNode {
    fileprivate mutating func take(_ event: StoreEvent, at now: Moment, into actions: inout [FleetAction]) {
        switch event {
        case .connected: storeConnected(at: now, into: &actions)
        case .lost: storeLost(at: now)
        case .page(let page): pageRead(page, at: now, into: &actions)
        case .watchOpened: watchOpened(at: now)
        case .changed(let changes): watched(changes, at: now, into: &actions)
        case .readingAgain: readingAgain()
        case .pageAgain(let records, let isLast): pageReadAgain(records, isLast: isLast, at: now, into: &actions)
        case .compacted: compacted(at: now)
        case .transactionEnded(let id, let succeeded): transactionEnded(id, succeeded: succeeded, at: now)
        case .leaseGranted(let lease): leaseGranted(lease, at: now)
        case .leaseLost(let lease): leaseLost(lease, at: now, into: &actions)
        case .nameShared, .policy, .order, .orderGone, .ordersReadingBegan, .ordersReadingEnded: break
        }
    }
}
