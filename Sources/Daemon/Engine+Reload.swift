import AuditTrail
import Configuration
import NIOCore
import Policy
import PolicyFile
import Privilege

extension Engine {
    /// Reads configuration and policy again, after the update under way; refuses both if either has an error.
    /// - Returns: the changes, a line each, or a ``ReloadRefusal``.
    func reload() -> EventLoopFuture<[String]> {
        guard !isStopped else { return loop.makeFailedFuture(ReloadRefusal.stopping) }
        let promise = loop.makePromise(of: [String].self)
        updates.asked.append(promise)
        startUpdate()
        return promise.futureResult
    }

    /// Called when a host name has other addresses, or can't be resolved.
    func hostNamesChanged(_ failure: String?) {
        if let failure { return failed(failure) }
        updates.areNamesStale = true
        startUpdate()
    }

    private func startUpdate() {
        guard !isStopped, !updates.isUnderWay, !updates.isSettled else { return }
        let update = updates.begin() ? readFiles(attempts: Self.readingsMax) : resolveAnew()
        let this = NIOLoopBound(self, eventLoop: loop)
        update.whenComplete { result in
            for promise in this.value.updates.end() { promise.completeWith(result) }
            this.value.startUpdate()
        }
    }

    /// Both processes read the files, one after the other; the files may be written in between.
    private static let readingsMax = 3
    /// A reload resolves all its host names again; names without an answer by then follow later.
    private static let namesAwaitedMax: TimeAmount = .seconds(2)

    private func readFiles(attempts: Int) -> EventLoopFuture<[String]> {
        let (settings, rules) = (core.warden.settings, rules)
        let (configuration, features) = (configuration, netfilter.features)
        let this = NIOLoopBound(self, eventLoop: loop)
        return updates.run {
            var load = PolicyLoader().load(configurationPath: configuration)
            load.settings = load.settings.fitted(to: features).fittedToDescriptors()
            return FreshPolicy(
                load: load, names: HostNameBook.names(in: load.rules),
                changes: Self.changes(from: settings, rules, to: load.settings, load.rules))
        }.flatMap { this.value.filesRead($0, attempts: attempts) }
    }

    private func filesRead(_ fresh: FreshPolicy, attempts: Int) -> EventLoopFuture<[String]> {
        guard !fresh.load.hasErrors else {
            let first = fresh.load.diagnostics.first { $0.severity == .error }?.description
            return refuse(first, text: fresh.load.diagnostics.map(\.description).joined(separator: "\n"))
        }
        // The old rules' names are watched too until the new rules are in force.
        hosts?.watch(ruleNames.union(fresh.names))
        let this = NIOLoopBound(self, eventLoop: loop)
        // Names are resolved again only in the first attempt, since answers take time.
        let names = attempts == Self.readingsMax ? fresh.names : []
        let resolved = hosts?.resolveAnew(names, within: Self.namesAwaitedMax) ?? loop.makeSucceededVoidFuture()
        // One after the other: with two processors, calls keep one of them.
        return resolved.flatMap { this.value.compile(fresh.load.rules) }.flatMap { compiled in
            this.value.readInNetfilterProcess().flatMap {
                this.value.enforce(compiled, of: fresh, $0, attempts: attempts)
            }
        }
    }

    /// The netfilter process has read the same files; from here on it permits what they newly allow.
    private func enforce(
        _ compiled: CompiledPolicy, of fresh: FreshPolicy, _ reading: FileReading, attempts: Int
    ) -> EventLoopFuture<[String]> {
        guard !isStopped else { return loop.makeFailedFuture(ReloadRefusal.stopping) }
        do {
            switch reading {
            case .refused(let why): throw NetfilterClient.Failure(description: why)
            case .done(fresh.load.fingerprint): try netfilter.enforce()
            case .done where attempts > 1: return readFiles(attempts: attempts - 1)
            case .done: throw NetfilterClient.Failure(description: "the files changed while they were read")
            }
        } catch {
            return refuse(error)
        }
        (rules, ruleNames) = (fresh.load.rules, fresh.names)
        hosts?.watch(ruleNames)
        let settings = core.warden.settings.changedLive(to: fresh.load.settings)
        shells.hostName = settings.audit.host
        handle {
            $0.policyReplaced(compiled.policy, pending: compiled.pending, settings: settings, at: $1, into: &$2)
        }
        let changes = fresh.changes + (hosts?.shortcomings(of: fresh.names) ?? [])
        let this = NIOLoopBound(self, eventLoop: loop)
        return awaitLongCommit().map {
            this.value.record(AuditEvent(.reloaded, detail: changes.joined(separator: "; ")))
            return changes
        }
    }

    private func refuse(_ error: any Error) -> EventLoopFuture<[String]> {
        hosts?.watch(ruleNames)
        return refuse("\(error)", text: "the netfilter process can't read the new policy: \(error)")
    }

    private func refuse(_ detail: String?, text: String) -> EventLoopFuture<[String]> {
        record(AuditEvent(.reloadRefused, detail: detail))
        return loop.makeFailedFuture(ReloadRefusal(text: text))
    }

    private func compile(_ rules: [Rule]) -> EventLoopFuture<CompiledPolicy> {
        // Later changes start another update.
        updates.areNamesStale = false
        let addresses = hosts?.addresses ?? [:]
        return updates.run {
            CompiledPolicy(
                policy: Policy(rules: rules, addresses: addresses),
                pending: PendingRules(rules: rules, addresses: addresses))
        }
    }

    private func resolveAnew() -> EventLoopFuture<[String]> {
        let this = NIOLoopBound(self, eventLoop: loop)
        return compile(rules).map { compiled in
            guard !this.value.isStopped else { return [] }
            this.value.handle {
                $0.policyReplaced(
                    compiled.policy, pending: compiled.pending, settings: $0.settings, at: $1, into: &$2)
            }
            return []
        }
    }

    /// The netfilter process keeps serving while it reads; the end is reported with its events.
    private func readInNetfilterProcess() -> EventLoopFuture<FileReading> {
        do {
            try netfilter.reload()
        } catch {
            return loop.makeSucceededFuture(.refused("\(error)"))
        }
        let promise = loop.makePromise(of: FileReading.self)
        lookForReading(promise)
        return promise.futureResult
    }

    private static let readingPeriod: TimeAmount = .milliseconds(5)

    private func lookForReading(_ promise: EventLoopPromise<FileReading>) {
        let this = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleTask(in: Self.readingPeriod) {
            let engine = this.value
            guard !engine.isStopped, engine.netfilter.loss == nil else { return promise.fail(ReloadRefusal.stopping) }
            engine.readKernelEvents()
            guard let reading = engine.updates.takeReading() else { return engine.lookForReading(promise) }
            promise.succeed(reading)
        }
    }

    private static func changes(
        from old: Settings, _ oldRules: [Rule], to new: Settings, _ newRules: [Rule]
    ) -> [String] {
        let before = Dictionary(oldRules.map { ($0.name, $0) }) { first, _ in first }
        let after = Dictionary(newRules.map { ($0.name, $0) }) { first, _ in first }
        var lines = newRules.filter { before[$0.name] == nil }.map { "rule added: \($0.label)" }
        lines += oldRules.filter { after[$0.name] == nil }.map { "rule removed: \($0.label)" }
        lines += newRules.filter { rule in before[rule.name].map { !$0.isEquivalent(to: rule) } ?? false }
            .map { "rule changed: \($0.label)" }
        if old.changedLive(to: new) != old { lines.append("settings changed") }
        if old.changedLive(to: new) != new {
            lines.append("listen, rpcbind, table, audit, metrics or control changed: restart to apply")
        }
        return lines.isEmpty ? ["nothing changed"] : lines
    }
}

/// The policy as read, and the values derived only from it.
private struct FreshPolicy: Sendable {
    var load: LoadResult
    /// The host names that the rules mention.
    var names: Set<String>
    /// The changes, a line each.
    var changes: [String]
}

/// The policy compiled with the current addresses of its host names.
private struct CompiledPolicy: Sendable {
    var policy: Policy
    var pending: PendingRules
}

/// A reload that was refused as a whole; `text` holds the diagnostics.
struct ReloadRefusal: Error, CustomStringConvertible {
    var text: String

    var description: String { text }

    static let stopping = ReloadRefusal(text: "the daemon is stopping")
}

extension Rule {
    /// Whether the rules are equal except for their location in the file.
    fileprivate func isEquivalent(to other: Rule) -> Bool {
        var moved = other
        moved.location = location
        return self == moved
    }
}
