import Activity
import Addresses
import AuditTrail
import Clock
import Control
import Firewall
import Glibc
import Metrics
import NIOCore
import PolicyFile
import Warden

extension Engine {
    /// Answers a call on the control socket.
    func answer(_ call: ControlCall) -> EventLoopFuture<ControlAnswer> {
        let reply: ControlReply
        switch call.command {
        case .status: reply = ControlReply(status: status())
        case .grants, .registry, .revoke:
            // Only a name that the configuration has.
            if let refusal = call.server.flatMap({ core.warden.settings.refusal(ofServer: $0) }) {
                reply = ControlReply(failure: refusal)
            } else {
                return answer(call, at: call.server.flatMap { core.warden.serverNumber(named: $0) })
            }
        case .denials: return denials(since: call.since)
        case .activity: reply = activity(call)
        case .release: reply = release(call)
        case .reload:
            return refresh().map { .reply(ControlReply(changes: $0)) }
                .flatMapErrorThrowing { .reply(ControlReply(failure: "\($0)")) }
        case .stop: reply = stop(opening: call.opens ?? false)
        }
        return loop.makeSucceededFuture(.reply(reply))
    }

    /// - Parameter server: `nil`: all of them.
    private func answer(_ call: ControlCall, at server: ServerNumber?) -> EventLoopFuture<ControlAnswer> {
        switch call.command {
        case .grants: grants(at: server)
        case .registry: registry(of: server)
        case .status, .denials, .revoke, .activity, .release, .reload, .stop:
            loop.makeSucceededFuture(.reply(revoke(call, at: server)))
        }
    }

    /// Makes and encodes a reply that may be long, on the ``WorkThread``.
    private func encoding(_ reply: @escaping @Sendable () -> ControlReply) -> EventLoopFuture<ControlAnswer> {
        thread.run { ControlAnswer(encoding: reply()) }
    }

    /// The reply leaves before the signal is handled, since the handler waits for the event loop.
    private func stop(opening: Bool) -> ControlReply {
        var change = Self.guardStays
        if opening {
            if let failure = open() {
                return ControlReply(failure: "nothing was opened, and the daemon keeps running: \(failure.message)")
            }
            change = Self.nothingGuarded
        }
        stop(change)
        kill(getpid(), SIGTERM)
        return ControlReply(changes: ["stopped: \(change)"])
    }

    /// The values for a scrape, `status` and `top`.
    func snapshot(readingDrops: Bool = true) -> MetricsSnapshot {
        let now = HostClock.now()
        var snapshot = MetricsSnapshot(
            version: Version.text, startedAt: core.warden.wallClock(at: startedAt), counters: core.warden.counters,
            gauges: core.warden.gauges(at: now), drops: readingDrops ? dropsIfReadable() : nil,
            auditLost: shells.auditLost, bundle: reloader.bundleInForce)
        snapshot.fleet = shells.fleet.map { link in
            MetricsSnapshot.Fleet(
                isSidecarHere: standing.isSidecarHere, isConnected: standing.isConnected,
                gauges: core.warden.fleetGauges, grantsMax: core.warden.settings.fleet?.pair?.grants,
                queue: standing.store?.queue ?? 0, untold: link.waitingCount,
                resyncs: link.overruns)
        }
        return snapshot
    }

    /// The drop counts; `nil` if they can't be read. `manage: sets` has no counters of rpcwarden's. A missing
    /// table is reported elsewhere.
    private func dropsIfReadable() -> DropCounts? {
        guard core.warden.settings.firewall.management == .guardPorts, core.warden.isGuarding, !core.isCommitting else {
            return nil
        }
        do {
            return try netfilter.drops()
        } catch {
            failed("\(error)")
            return nil
        }
    }

    private func status() -> StatusReport {
        var report = desk.status(
            snapshot(readingDrops: false), core.warden, uptime: HostClock.now() - startedAt,
            isTableIntact: isTableIntact())
        report.modeAge = Int((HostClock.now() - modeSince).components.seconds)
        report.fleet = desk.fleet(
            reloader.bundleInForce, shells.fleet == nil ? nil : standing, core.warden.fleetGauges,
            at: HostClock.wallClock())
        return report
    }

    /// Whether the table exists and guards exactly the ports that the Warden guards. During a long transaction the
    /// kernel isn't asked.
    private func isTableIntact() -> Bool {
        guard core.warden.isGuarding, !core.isCommitting else { return core.warden.isGuarding }
        do {
            return try netfilter.guarded() == core.warden.guardedServices
        } catch {
            failed("\(error)")
            return false
        }
    }

    /// The kernel is asked for the grants by their keys, some at a time, so that no call waits for all of them.
    private func grants(at server: ServerNumber?) -> EventLoopFuture<ControlAnswer> {
        let collection = GrantCollection(loop.makePromise(), at: server)
        collections.append(collection)
        let this = NIOLoopBound((engine: self, collection: collection), eventLoop: loop)
        collect(collection)
        return collection.promise.futureResult.flatMap {
            let (engine, collection) = this.value
            engine.collections.removeAll { $0 === collection }
            // Freed on the thread, too: sixty thousand rows take some milliseconds.
            let pages = collection.takePages()
            return engine.encoding {
                let rows = Dictionary(pages.joined()) { _, last in last }
                return ControlReply(grants: rows.sorted { $0.key < $1.key }.map(\.value))
            }
        }.flatMapErrorThrowing {
            this.value.engine.collections.removeAll { $0 === this.value.collection }
            return .reply(ControlReply(failure: "the kernel's table can't be read: \($0)"))
        }
    }

    /// A page takes kernel and daemon a millisecond or so.
    private static let grantsAtOnce = 64
    /// Calls are taken between two pages. NIO would run a task without a delay before it looks at the sockets again.
    private static let pauseBetweenPages: TimeAmount = .microseconds(100)

    private func collect(_ collection: GrantCollection) {
        guard !isStopped else { return }
        guard !core.isCommitting else {
            let this = NIOLoopBound((engine: self, collection: collection), eventLoop: loop)
            return awaitLongCommit().whenSuccess { this.value.engine.collect(this.value.collection) }
        }
        do {
            // The table may be another program's, or missing.
            if collection.next == 0, try netfilter.guarded() == nil { return collection.promise.succeed() }
            let (keys, next) = core.warden.gate.page(from: collection.next, limit: Self.grantsAtOnce)
            let now = HostClock.wallClock()
            let wanted = keys.filter { collection.holds(core.warden.serverNumber(of: $0.service.server)) }
            collection.pages.append(
                try netfilter.uses(of: wanted).map { key, use in
                    (key, desk.grant(key, use, core.warden.grant(key), at: serverName(of: key), now: now))
                })
            guard next > collection.next else { return collection.promise.succeed() }
            collection.next = next
            collectLater(collection, Self.pauseBetweenPages)
        } catch {
            collection.promise.fail(error)
        }
    }

    private func collectLater(_ collection: GrantCollection, _ pause: TimeAmount) {
        let this = NIOLoopBound((engine: self, collection: collection), eventLoop: loop)
        loop.scheduleTask(in: pause) { this.value.engine.collect(this.value.collection) }
    }

    /// Listeners of untrusted registrations are looked up when the listing is requested.
    private func registry(of server: ServerNumber?) -> EventLoopFuture<ControlAnswer> {
        let numbers = server.map { $0..<$0 + 1 } ?? core.warden.serverNumbers
        let all = numbers.map { (core.warden.serverName($0), core.warden.registryEntries(of: $0)) }
        // For trusted registrations the Warden itself knows whether a socket listens.
        let others = (all.first { $0.0 == nil }?.1 ?? []).filter { !$0.isTrusted }.compactMap(\.service)
        let states = shells.listeners(at: Set(others)) ?? [:]
        let desk = desk
        return encoding {
            ControlReply(
                registry: all.flatMap { name, entries in
                    entries.map { entry in
                        let state = entry.isTrusted || name != nil ? nil : entry.service.flatMap { states[$0] }
                        return desk.registration(entry, at: name, isAlive: state?.isListening ?? entry.isAlive)
                    }
                })
        }
    }

    /// `nil`: this host.
    private func serverName(of key: GrantKey) -> String? {
        core.warden.serverName(core.warden.serverNumber(of: key.service.server))
    }

    private func denials(since seconds: Int?) -> EventLoopFuture<ControlAnswer> {
        let now = HostClock.now()
        let entries = core.warden.watch.denialEntries(since: seconds.map { now + .seconds(-max(0, $0)) } ?? .zero)
        let (desk, epoch) = (desk, core.warden.wallClock(at: .zero))
        return encoding { ControlReply(denials: entries.map { desk.denial($0) { epoch + ($0 - .zero) } }) }
    }

    private func release(_ call: ControlCall) -> ControlReply {
        guard let client = call.client.flatMap(IPAddress.init) else {
            return ControlReply(failure: Self.notAnAddress(call.client))
        }
        var wasQuarantined = false
        handle { wasQuarantined = $0.release(client: client, at: $1, into: &$2) }
        let isShared = core.warden.settings.fleet?.quarantines != nil
        return ControlReply(changes: desk.release(of: client, wasQuarantined, isShared: isShared))
    }

    private static func notAnAddress(_ text: String?) -> String {
        "not an address: \"\(text ?? "")\"; give the client's IPv4 or IPv6 address"
    }

    private func revoke(_ call: ControlCall, at server: ServerNumber?) -> ControlReply {
        guard let client = call.client.flatMap(IPAddress.init) else {
            return ControlReply(failure: Self.notAnAddress(call.client))
        }
        var transport: Transport?
        if let name = call.transport {
            transport = Transport(name: name)
            if transport == nil { return ControlReply(failure: "not a transport: \"\(name)\"; use tcp or udp") }
        }
        var revocation = Revocation()
        handle {
            revocation = $0.revoke(
                client: client, port: call.port, transport: transport, of: server, at: $1, into: &$2)
        }
        return ControlReply(
            changes: desk.changes(revocation) { [core] in core.warden.serverName(core.warden.serverNumber(of: $0)) })
    }

    /// `top` polls this, so its cost is bounded: the kernel is asked for some grants by their keys and for the rules'
    /// counters, never for whole sets.
    private func activity(_ call: ControlCall) -> ControlReply {
        let now = HostClock.now()
        let watch = core.warden.watch.foremostDenialEntries(limit: ActivityReport.sourcesMax, at: now)
        var report = desk.activity(
            snapshot(), watch, sourceCount: core.warden.watch.denialSourceCount, at: now, startedAt: startedAt,
            wallClock: HostClock.wallClock())
        let watched = (call.watched ?? []).prefix(ActivityReport.watchedMax).compactMap(GrantKey.init)
            .filter { core.warden.grant($0) != nil }
        // During a long transaction the kernel isn't asked.
        guard !core.isCommitting else { return ControlReply(activity: report) }
        let isAll = core.warden.grantCount <= ActivityReport.grantsAtOnce
        let (others, next) = core.warden.gate.page(
            from: call.nextGrant ?? 0, limit: ActivityReport.grantsAtOnce - (isAll ? 0 : watched.count))
        report.nextGrant = next
        do {
            let uses = try netfilter.uses(of: Array(Set(watched + others)))
            report.grants = uses.map { key, use in
                desk.activeGrant(key, use, core.warden.grant(key), at: serverName(of: key))
            }
        } catch {
            failed("\(error)")
        }
        return ControlReply(activity: report)
    }
}

/// The rows of `grants` that have been collected so far.
final class GrantCollection {
    var pages: [[(GrantKey, GrantRow)]] = []
    /// Where the next page of the ledger begins.
    var next = 0
    let promise: EventLoopPromise<Void>
    /// `nil`: all servers.
    private let server: ServerNumber?

    init(_ promise: EventLoopPromise<Void>, at server: ServerNumber?) {
        self.promise = promise
        self.server = server
    }

    func holds(_ number: ServerNumber) -> Bool { server.map { $0 == number } ?? true }

    func takePages() -> [[(GrantKey, GrantRow)]] {
        defer { pages = [] }
        return pages
    }
}

extension GrantKey {
    /// `nil` if the label can't be parsed: it comes from the control socket's client.
    fileprivate init?(_ label: GrantLabel) {
        let words = label.service.split(separator: "/", maxSplits: 1)
        guard words.count == 2, let transport = Transport(name: String(words[0])), let port = UInt16(words[1]),
            let client = IPAddress(label.client)
        else { return nil }
        let server = label.serverID.map(ServerID.init) ?? .thisHost
        self.init(client: client, service: ServicePort(transport, port, at: server))
    }
}
