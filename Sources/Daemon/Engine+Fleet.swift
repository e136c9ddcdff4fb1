import AuditTrail
import Bundles
import Clock
import Configuration
import Control
import FleetRecords
import NIOCore
import PolicyFile
import PortmapServer
import System
import Warden

/// What rpcwarden-fleet hears of this daemon, and what it has done here.
extension Engine {
    func startFleet(_ socket: ControlSocket?) {
        guard let socket else { return }
        let surroundings = FleetLink.Surroundings(
            facts: { [unowned self] in
                var facts = DaemonFacts(core.warden.settings, version: Version.text)
                if facts.policyGroup != nil { facts.policyKeys = policyKeysPath }
                return facts
            },
            status: { [unowned self] in nodeStatus() },
            page: { [unowned self] place in
                var page: (messages: [DaemonMessage], next: Int?) = ([], nil)
                handle { warden, now, _ in
                    page = warden.sharedGrants(fromPlace: place, count: FleetOutlet.pagePlaces, at: now)
                }
                return page
            },
            heard: { [unowned self] in fleetHeard($0) },
            connected: { [unowned self] in standing.sidecarConnected() },
            lost: { [unowned self] detail in
                if let event = standing.sidecarLost(detail, at: HostClock.wallClock()) { record(event) }
            },
            failed: { [unowned self] in failed($0) })
        let link = FleetLink(on: loop, socket, surroundings)
        shells.fleet = link
        let memory = FleetMemory(folder: stateFolder, on: thread) { [unowned self] in failed($0) }
        let ended = memory.read()
        fleetMemory = memory
        handle { warden, now, _ in
            warden.endedGrantsFound(ended, at: now)
            for (client, created) in memory.orders.revocations { warden.orderFollowed(client, at: created, at: now) }
        }
        let this = NIOLoopBound(self, eventLoop: loop)
        link.listen().whenFailure { this.value.failed("fleet.socket: \($0)") }
    }

    private func nodeStatus() -> NodeStatus {
        let denied = core.warden.counters.denied.values.reduce(0, +)
        return NodeStatus(
            version: Version.text, mode: core.warden.settings.mode.rawValue,
            serial: reloader.bundleInForce?.serial ?? 0,
            isGuarding: core.warden.isGuarding,
            isRpcbindUp: core.warden.isRpcbindUp == true || !core.warden.needsRpcbind,
            grants: UInt32(clamping: core.warden.grantCount),
            denialsPerHour: UInt32(clamping: hourlyDenials.growth(to: denied, at: HostClock.now())),
            since: core.warden.wallClock(at: startedAt))
    }

    /// What one reading of the socket brought: the kernel gets all grants of it at once.
    private func fleetHeard(_ messages: [SidecarMessage]) {
        guard !isStopped else { return }
        // Ends that come together are looked for once.
        var ended: [SharedGrant] = []
        handle { warden, now, actions in
            for message in messages {
                switch message {
                case .offer(let offer):
                    warden.copiesEnded(ended, at: now, into: &actions)
                    ended = []
                    warden.grantOffered(offer, at: now, into: &actions)
                case .end(let grant): ended.append(grant)
                case .quarantine(let offer):
                    let isOwn = shells.server?.isOwn(offer.client) ?? false
                    warden.quarantineOffered(offer, isOwn: isOwn, at: now, into: &actions)
                case .hello, .store, .policy, .policyRefused, .order: break
                }
            }
            warden.copiesEnded(ended, at: now, into: &actions)
            warden.flush(at: now, into: &actions)
        }
        for message in messages {
            switch message {
            case .hello(_, let fleet, let node): standing.helloTold(fleet: fleet, node: node)
            case .store(let state): if let event = standing.storeTold(state) { record(event) }
            case .policy(let group, let serial): policyFetched(group, serial)
            case .policyRefused(let group, let detail):
                if let event = standing.policyRefused(group, detail) { record(event) }
            case .order(let id, let text):
                let hasPlace = orders.add(OrderQueue.Order(id: id, text: text))
                // Whoever writes into the store decides how many come.
                if !hasPlace, !hasToldFullQueue {
                    failed("order \(id) is not followed, nor are others: \(FleetOrder.countMax) wait")
                }
                hasToldFullQueue = !hasPlace
            case .offer, .end, .quarantine: break
            }
        }
    }

    /// The sidecar says that a bundle is on disk; reading it decides.
    private func policyFetched(_ group: String, _ serial: UInt64) {
        guard let policy = core.warden.settings.fleet?.policy, policy.group == group, policy.path == nil,
            serial > reloader.bundleInForce?.serial ?? 0
        else { return }
        standing.policyFetched()
        reloadIfFetched(at: HostClock.now())
    }

    private func reloadIfFetched(at now: Instant) {
        if standing.takeReload(at: now) { _ = reloader.reload() }
    }
}

// MARK: Orders

extension Engine {
    private var policyKeysPath: String? {
        core.warden.settings.fleet?.policy.map { PolicyLoader().path($0.keysPath, inConfiguration: configuration) }
    }

    func advanceFleet(to now: Instant) {
        shells.fleet?.timeAdvanced(to: now)
        fleetMemory?.timeAdvanced(to: now, mark: core.warden.endedMark) { core.warden.endedGrants }
        followNextOrder(at: now)
        reloadIfFetched(at: now)
    }

    private func followNextOrder(at now: Instant) {
        guard !isVerifying, !orders.isEmpty else { return }
        guard let keysPath = policyKeysPath, let policy = core.warden.settings.fleet?.policy else {
            guard orders.waitingCount > 0 else { return }
            failed("\(orders.waitingCount) orders of the fleet are not followed: fleet.policy must have keys")
            return orders.removeAll()
        }
        // What the sidecar says it is doesn't count. Before the first bundle, orders wait.
        guard let fleet = policy.fleet ?? reloader.bundleInForce?.fleet else { return }
        guard let order = orders.next(at: now), fleetMemory?.orders.hasFollowed(order.id) == false else { return }
        isVerifying = true
        let this = NIOLoopBound(self, eventLoop: loop)
        let time = HostClock.wallClock()
        thread.run { Self.verified(order.text, in: fleet, keysPath: keysPath, at: time) }.whenComplete { result in
            let engine = this.value
            engine.isVerifying = false
            switch result {
            case .success(.success(let order)): engine.follow(order)
            case .success(.failure(let refusal)): engine.refused(order, refusal)
            case .failure: break
            }
        }
    }

    private func refused(_ order: OrderQueue.Order, _ refusal: OrderRefusal) {
        guard refusal.mayPass else { return failed("order \(order.id) is not followed: \(refusal)") }
        guard orders.postpone(order, at: HostClock.now()) else { return }
        failed("order \(order.id) is not followed yet: \(refusal); it is tried again for a day")
    }

    private static func verified(
        _ text: String, in fleet: String, keysPath: String, at time: Timestamp
    ) -> Result<FleetOrder, OrderRefusal> {
        do throws(OrderRefusal) {
            let keys = StateFile(path: keysPath)
            let bytes: [UInt8]?
            do throws(StateFileError) {
                bytes = try keys.contents(max: keysBytesMax)
            } catch {
                throw OrderRefusal("\(error)", mayPass: true)
            }
            guard let bytes else { throw OrderRefusal("there are no keys at \(keysPath)", mayPass: true) }
            return .success(try OrderVerifier(fleet: fleet, keysFile: bytes).verified(Array(text.utf8), at: time))
        } catch {
            return .failure(error)
        }
    }

    private static let keysBytesMax = 64 << 10

    private func follow(_ order: FleetOrder) {
        guard !isStopped, let answer = fleetMemory?.orders.take(order, at: HostClock.wallClock()) else { return }
        switch answer {
        case .follow: break
        case .isKnown: return
        case .isBeyondLimit:
            return failed("order \(order.id) is not followed: \(FleetOrder.countMax) were followed in a day")
        }
        handle { warden, now, actions in
            switch order.action {
            case .revoke:
                _ = warden.revoke(
                    client: order.client, port: nil, transport: nil, order: order.created, at: now, into: &actions)
            case .release:
                _ = warden.release(client: order.client, order: order.created, at: now, into: &actions)
            }
        }
    }
}

extension DaemonFacts {
    init(_ settings: Settings, version: String) {
        self.init()
        self.version = version
        let fleet = settings.fleet
        pair = fleet?.pair?.name
        grantsMax = fleet?.pair == nil ? grantsMax : max(1, settings.copiesMax)
        keep = min(settings.firewall.keep, GrantRecord.keepMax)
        policyGroup = fleet?.policy.flatMap { $0.path == nil ? $0.group : nil }
        policyKeys = policyGroup == nil ? nil : fleet?.policy?.keysPath
        guard let quarantines = fleet?.quarantines, let quarantine = settings.quarantine else { return }
        sharesQuarantines = quarantines.share
        acceptsQuarantines = quarantines.accept
        quarantinesMax = quarantines.max
        quorum = quarantines.quorum
        quarantineFor = min(quarantine.lasts, Settings.Fleet.Quarantines.longest)
    }
}
