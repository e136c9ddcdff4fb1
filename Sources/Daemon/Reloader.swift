import Addresses
import AuditTrail
import Bundles
import Clock
import Configuration
import NIOCore
import Policy
import PolicyFile

/// Puts changed files, and other addresses of the policy's host names, into force: one update at a time. Belongs to one
/// event loop.
///
/// ```
/// settled ──reload─▶ the netfilter process reads ─▶ its bytes are parsed ─▶ names asked, for a while ─▶ compiling ─▶ in force
///    │                                                 └─ refused
///    └──other addresses─▶ compiling ─▶ in force
/// ```
/// Requests during an update are handled by the next one.
final class Reloader {
    /// What the updates change, and who reads the files.
    struct Surroundings {
        /// Has the netfilter process read the files; ``filesRead(_:)`` is called with the end.
        var read: () -> EventLoopFuture<Void>
        /// Has the netfilter process judge by the files that it read last.
        var enforce: () -> EventLoopFuture<Void>
        /// The settings in force.
        var settings: () -> Settings
        /// The settings as far as this host can have them.
        var fit: @Sendable (Settings) -> Settings
        /// The future completes when the kernel has done what follows. `nil`: the settings stay.
        var putInForce: (PolicySet, Settings?) -> EventLoopFuture<Void>
        var record: (AuditEvent) -> Void
        /// Remembers the fleet's bundle beyond the daemon's life, and keeps its bytes, if rpcwarden-fleet fetched them.
        var remember: (AcceptedBundle, _ fetched: [UInt8]?) -> Void = { _, _ in }
        /// Where ``remember`` keeps the bytes; the netfilter process knows it, too.
        var keptBundlePath: String?
        var wallClock: () -> Timestamp = HostClock.wallClock
        var failed: (String) -> Void
    }

    private let loop: any EventLoop
    private let thread: WorkThread
    private let configuration: String?
    private let surroundings: Surroundings
    private let resolver: HostNameBook.Resolver
    private lazy var hosts = HostNameBook(on: loop, resolver: resolver) { [unowned self] in addressesChanged($0) }
    private var rules: [Rule] = []
    private var bundle = BundleWatch()
    /// No older bundle of the fleet may follow this one; also while none is asked for.
    private var lastBundle: AcceptedBundle?
    /// The host names that the rules mention.
    private var names: Set<String> = []
    /// Promises of reloads that have not begun, and of those that the update under way is for.
    private var asked: [EventLoopPromise<[String]>] = []
    private var waiting: [EventLoopPromise<[String]>] = []
    private var reading: EventLoopPromise<FilesRead>?
    private var readingSince: Instant?
    /// A reading was given up; until it ends there is no other one.
    private var isReadingOverdue = false
    /// Whether a host name has other addresses than the policy was compiled with, or the bundle has expired since.
    private var isStale = false
    /// The same, before the policy was compiled that isn't in force yet.
    private var wasStale = false
    private var isUnderWay = false
    private var isClosed = false

    /// A reload resolves all its host names again; names without an answer by then follow later.
    private static let namesAwaitedMax: TimeAmount = .seconds(2)
    /// A file system may hang for ever. Addresses of host names, and the end of a fleet's policy, wait no longer for it.
    static let readingMax: Duration = .seconds(30)

    init(
        on loop: any EventLoop, _ thread: WorkThread, configuration: String?, resolver: HostNameBook.Resolver,
        _ surroundings: Surroundings
    ) {
        self.loop = loop
        self.thread = thread
        self.configuration = configuration
        self.resolver = resolver
        self.surroundings = surroundings
    }

    /// Resolves the host names of the policy in force.
    /// - Parameters:
    ///   - bundle: marks the rules as they were compiled.
    ///   - fetched: the bytes of the bundle, if rpcwarden-fleet fetched them.
    func start(
        _ load: LoadResult, _ bundle: BundleWatch = BundleWatch(), fetched: [UInt8]? = nil, at now: Instant
    ) {
        (rules, names) = (load.rules, HostNameBook.names(in: load.rules))
        accept(bundle, load.lastBundle, fetched)
        // A start that fell back on the kept bundle.
        if let refusal = load.bundleRefusal { surroundings.record(AuditEvent(.policyRefused, detail: refusal)) }
        hosts.watch(names)
        hosts.timeAdvanced(to: now)
    }

    func timeAdvanced(to now: Instant) {
        hosts.timeAdvanced(to: now)
        giveUpReading(at: now)
        let (isToCompile, event) = bundle.timeAdvanced(to: surroundings.wallClock())
        if let event { surroundings.record(event) }
        guard isToCompile else { return }
        isStale = true
        startUpdate()
    }

    /// The fleet's bundle in force.
    var bundleInForce: AcceptedBundle? { bundle.bundle }

    /// Whether no update is under way or requested.
    var isSettled: Bool { !isUnderWay && asked.isEmpty && !isStale }

    /// Whether the policy in force has an answer for every host name, even if it couldn't be resolved.
    var knowsNames: Bool { hosts.isComplete && isSettled }

    /// Reads configuration and policy again, after the update under way; refuses both if either has an error.
    /// - Returns: the changes, a line each, or a ``ReloadRefusal``.
    func reload() -> EventLoopFuture<[String]> {
        guard !isClosed else { return loop.makeFailedFuture(ReloadRefusal.stopping) }
        let promise = loop.makePromise(of: [String].self)
        asked.append(promise)
        startUpdate()
        return promise.futureResult
    }

    /// The netfilter process has read, and judged, these files.
    func filesRead(_ files: FilesRead) {
        isReadingOverdue = false
        reading.take()?.succeed(files)
    }

    private func giveUpReading(at now: Instant) {
        guard let reading else { return }
        let since = readingSince ?? now
        readingSince = since
        guard now - since >= Self.readingMax else { return }
        self.reading = nil
        isReadingOverdue = true
        reading.fail(refusal(Overdue()))
    }

    func close() {
        isClosed = true
        hosts.close()
        reading.take()?.fail(ReloadRefusal.stopping)
        for promise in waiting + asked { promise.fail(ReloadRefusal.stopping) }
        (waiting, asked) = ([], [])
    }

    private func addressesChanged(_ failure: String?) {
        if let failure { return surroundings.failed(failure) }
        isStale = true
        startUpdate()
    }

    private func startUpdate() {
        guard !isClosed, !isUnderWay, !isSettled else { return }
        isUnderWay = true
        (waiting, asked) = (asked, [])
        let update = waiting.isEmpty ? compileAnew() : readFiles()
        let this = NIOLoopBound(self, eventLoop: loop)
        update.whenComplete { result in
            let reloader = this.value
            reloader.isUnderWay = false
            for promise in reloader.waiting { promise.completeWith(result) }
            reloader.waiting = []
            reloader.startUpdate()
        }
    }

    private func compileAnew() -> EventLoopFuture<[String]> {
        let this = NIOLoopBound(self, eventLoop: loop)
        return compile(bundle.rules(rules)).flatMap { compiled in
            guard !this.value.isClosed else { return this.value.loop.makeSucceededVoidFuture() }
            return this.value.surroundings.putInForce(compiled, nil)
        }.map { [] }
    }

    private func compile(_ rules: [Rule]) -> EventLoopFuture<PolicySet> {
        // Later changes start another update.
        (wasStale, isStale) = (isStale, false)
        // Other servers take a restart.
        let (addresses, servers) = (hosts.addresses, surroundings.settings().serverNames)
        return thread.run { PolicySet(rules: rules, addresses: addresses, servers: servers) }
    }

    private func readFiles() -> EventLoopFuture<[String]> {
        guard !isReadingOverdue else { return loop.makeFailedFuture(refusal(Overdue())) }
        let this = NIOLoopBound(self, eventLoop: loop)
        return refusing(surroundings.read()).flatMap { this.value.awaitReading() }
            .flatMap { this.value.parse($0) }.flatMap { this.value.parsed($0) }
    }

    private func awaitReading() -> EventLoopFuture<FilesRead> {
        guard !isClosed else { return loop.makeFailedFuture(ReloadRefusal.stopping) }
        let reading = loop.makePromise(of: FilesRead.self)
        (self.reading, readingSince) = (reading, nil)
        return reading.futureResult
    }

    private struct Overdue: Error, CustomStringConvertible {
        let description =
            "a reading of the files has taken longer than \(Reloader.readingMax.components.seconds) s; is their file"
            + " system there?"
    }

    private func parse(_ files: FilesRead) -> EventLoopFuture<FreshPolicy> {
        let (settings, rules) = (surroundings.settings(), rules)
        let (configuration, fit, last, kept) = (
            configuration, surroundings.fit, lastBundle, surroundings.keptBundlePath
        )
        return thread.run {
            var load = PolicyLoader(reading: files, after: last, keptAt: kept).load(configurationPath: configuration)
            load.settings = fit(load.settings)
            return FreshPolicy(load, insteadOf: settings, rules)
        }
    }

    private func parsed(_ fresh: FreshPolicy) -> EventLoopFuture<[String]> {
        // The accepted one stays, so that nobody who fetches another can hold up a change of this host's own policy.
        if let bundle = fresh.bundleRefusal { surroundings.record(AuditEvent(.policyRefused, detail: bundle)) }
        if let refusal = fresh.refusal {
            surroundings.record(AuditEvent(.reloadRefused, detail: fresh.firstError))
            return loop.makeFailedFuture(ReloadRefusal(text: refusal))
        }
        let bundle = BundleWatch(fresh.bundle, fresh.settings, at: surroundings.wallClock())
        // The old rules' names are watched too until the new rules are in force.
        hosts.watch(names.union(fresh.names))
        let this = NIOLoopBound(self, eventLoop: loop)
        return hosts.resolveAnew(fresh.names, within: Self.namesAwaitedMax)
            .flatMap { this.value.compile(bundle.rules(fresh.rules)) }
            .flatMap { this.value.enforce($0, of: fresh, bundle) }
    }

    /// The netfilter process permits from here on what the files newly allow.
    private func enforce(
        _ compiled: PolicySet, of fresh: FreshPolicy, _ bundle: BundleWatch
    ) -> EventLoopFuture<[String]> {
        guard !isClosed else { return loop.makeFailedFuture(ReloadRefusal.stopping) }
        let this = NIOLoopBound(self, eventLoop: loop)
        return refusing(surroundings.enforce()).flatMapErrorThrowing { error in
            // The old policy is still compiled with the former addresses.
            if this.value.wasStale { this.value.isStale = true }
            throw error
        }.flatMap {
            guard !this.value.isClosed else { return this.value.loop.makeFailedFuture(ReloadRefusal.stopping) }
            return this.value.putInForce(compiled, of: fresh, bundle)
        }
    }

    private func putInForce(
        _ compiled: PolicySet, of fresh: FreshPolicy, _ bundle: BundleWatch
    ) -> EventLoopFuture<[String]> {
        (rules, names) = (fresh.rules, fresh.names)
        hosts.watch(names)
        accept(bundle, fresh.lastBundle, fresh.fetchedBundle)
        let this = NIOLoopBound(self, eventLoop: loop)
        return surroundings.putInForce(compiled, fresh.settings).map {
            let changes = fresh.changes + this.value.hosts.shortcomings(of: fresh.names)
            this.value.surroundings.record(AuditEvent(.reloaded, detail: changes.joined(separator: "; ")))
            return changes
        }
    }

    private func accept(_ bundle: BundleWatch, _ lastBundle: AcceptedBundle?, _ fetched: [UInt8]?) {
        let old = self.bundle.bundle
        self.bundle = bundle
        self.lastBundle = lastBundle
        guard let accepted = bundle.bundle, accepted != old else { return }
        surroundings.remember(accepted, fetched)
        surroundings.record(AuditEvent(.policyAccepted, detail: accepted.description))
    }

    private func refusing(_ step: EventLoopFuture<Void>) -> EventLoopFuture<Void> {
        let this = NIOLoopBound(self, eventLoop: loop)
        return step.flatMapErrorThrowing { error in
            guard !this.value.isClosed else { throw ReloadRefusal.stopping }
            throw this.value.refusal(error)
        }
    }

    /// The netfilter process can't follow: the old policy stays.
    private func refusal(_ error: any Error) -> ReloadRefusal {
        hosts.watch(names)
        surroundings.record(AuditEvent(.reloadRefused, detail: "\(error)"))
        return ReloadRefusal(text: "the netfilter process can't read the new policy: \(error)")
    }
}

/// A reload that was refused as a whole; `text` holds the diagnostics.
struct ReloadRefusal: Error, CustomStringConvertible {
    var text: String

    var description: String { text }

    static let stopping = ReloadRefusal(text: "the daemon is stopping")
}
