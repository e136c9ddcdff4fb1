import Addresses
import Clock
import HostNames
import NIOCore
import Policy

/// What the host names of the policy resolve to, kept fresh.
///
/// A name takes half a minute where no name server answers, so several are asked for at once; names that were not resolved
/// the last time leave some places to the others.
final class HostNameBook {
    /// Asks the connector. Both futures complete on the book's event loop.
    struct Resolver {
        /// Fails with whatever is to be told.
        var addresses: (_ name: String) -> EventLoopFuture<[IPAddress]>
        var lifetime: (_ name: String) -> EventLoopFuture<Duration>
    }

    /// Names that are asked for at once; the others wait.
    static let questionsMax = 32
    /// Of these, places for names without an answer yet, or without one the last time: a dead server holds them long.
    static let doubtfulMax = 24
    /// Names whose lifetime is asked for at once.
    static let lifetimesMax = 4
    /// A name that can't be resolved is asked for again after so long, then after twice as long, and so on.
    static let retryMin: Duration = .seconds(1)

    private(set) var addresses: [String: [IPAddress]] = [:]
    /// When to ask next; `.zero`: there was no answer yet.
    private var due: [String: Instant] = [:]
    private var waiting: [String] = []
    /// The same, to look one up.
    private var queued: Set<String> = []
    private var asking: Set<String> = []
    /// Names whose lifetime is unknown, and those whose lifetime is being asked for.
    private var ageless: [String] = []
    private var learning: Set<String> = []
    /// How often in a row a name could not be resolved.
    private var failures: [String: Int] = [:]
    private var rounds: [Int: Round] = [:]
    private var lastRound = 0
    private let loop: any EventLoop
    private let resolver: Resolver
    private var isClosed = false
    /// A name resolves to something else, or can't be resolved any more.
    private let changed: (_ failure: String?) -> Void

    /// Names whose answers somebody waits for.
    private struct Round {
        var waiting: Set<String>
        var promise: EventLoopPromise<Void>
    }

    init(
        on loop: any EventLoop, resolver: Resolver, changed: @escaping (_ failure: String?) -> Void
    ) {
        self.loop = loop
        self.resolver = resolver
        self.changed = changed
    }

    /// The host names that the rules mention.
    static func names(in rules: [Rule]) -> Set<String> {
        var names: Set<String> = []
        for case .host(let name) in rules.flatMap({ $0.from + $0.except }) { names.insert(name) }
        return names
    }

    func watch(_ names: Set<String>) {
        addresses = addresses.filter { names.contains($0.key) }
        due = due.filter { names.contains($0.key) }
        failures = failures.filter { names.contains($0.key) }
        waiting.removeAll { !names.contains($0) }
        queued.formIntersection(names)
        ageless.removeAll { !names.contains($0) }
        for name in names where due[name] == nil { due[name] = .zero }
    }

    /// Resolves what has grown old.
    func timeAdvanced(to now: Instant) {
        for (name, at) in due where at <= now { ask(name) }
        startNext()
    }

    /// Every name has had an answer, if only that it can't be resolved.
    var isComplete: Bool { due.values.allSatisfy { $0 != .zero } }

    /// Asks for all of these names; the future ends when each has its answer, or the time is over.
    func resolveAnew(_ names: Set<String>, within limit: TimeAmount) -> EventLoopFuture<Void> {
        let names = names.filter { due[$0] != nil }
        guard !names.isEmpty else { return loop.makeSucceededVoidFuture() }
        let promise = loop.makePromise(of: Void.self)
        lastRound += 1
        let number = lastRound
        rounds[number] = Round(waiting: names, promise: promise)
        let this = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleTask(in: limit) { this.value.rounds.removeValue(forKey: number)?.promise.succeed() }
        for name in names.sorted() { ask(name) }
        startNext()
        return promise.futureResult
    }

    /// What is to be told of these names: those without addresses, and those whose addresses are old ones. A line each.
    func shortcomings(of names: Set<String>) -> [String] {
        let isOpen = { (name: String) in
            self.asking.contains(name) || self.queued.contains(name) || self.failures[name] != nil
        }
        let unresolved = names.filter { addresses[$0] == nil }.sorted()
        let old = names.filter { addresses[$0] != nil && isOpen($0) }.sorted()
        var lines: [String] = []
        if !unresolved.isEmpty {
            lines.append("not resolved yet: \(Self.list(unresolved)); takes effect for them as soon as they are")
        }
        if !old.isEmpty { lines.append("not resolved anew: \(Self.list(old)); their last addresses stay in use") }
        return lines
    }

    private static let namesToldMax = 16

    private static func list(_ names: [String]) -> String {
        let told = names.prefix(namesToldMax).joined(separator: ", ")
        return names.count > namesToldMax ? "\(told) and \(names.count - namesToldMax) more" : told
    }

    // MARK: Asking

    /// What is being asked for isn't asked for twice.
    private func ask(_ name: String) {
        guard !asking.contains(name), queued.insert(name).inserted else { return }
        waiting.append(name)
    }

    private func isDoubtful(_ name: String) -> Bool { addresses[name] == nil || failures[name] != nil }

    private func startNext() {
        while asking.count < Self.questionsMax {
            let mayDoubt = asking.count(where: isDoubtful) < Self.doubtfulMax
            guard let index = waiting.firstIndex(where: { mayDoubt || !isDoubtful($0) }) else { break }
            start(waiting.remove(at: index))
        }
        while learning.count < Self.lifetimesMax, let index = ageless.firstIndex(where: { !learning.contains($0) }) {
            learnLifetime(of: ageless.remove(at: index))
        }
    }

    private func start(_ name: String) {
        queued.remove(name)
        asking.insert(name)
        let this = NIOLoopBound(self, eventLoop: loop)
        resolver.addresses(name).whenComplete { this.value.found(name, $0) }
    }

    /// The TTL is asked for behind the answer's back: a DNS server may take long to say that it knows none.
    private func learnLifetime(of name: String) {
        learning.insert(name)
        let this = NIOLoopBound(self, eventLoop: loop)
        resolver.lifetime(name).whenComplete { this.value.learned(name, $0) }
    }

    private func learned(_ name: String, _ lifetime: Result<Duration, any Error>) {
        learning.remove(name)
        if case .success(let lifetime) = lifetime, due[name] != nil, failures[name] == nil {
            due[name] = HostClock.now() + lifetime
        }
        startNext()
    }

    /// A name that can't be resolved keeps the addresses that it had: a resolver's fault must not unmount anybody.
    private func found(_ name: String, _ finding: Result<[IPAddress], any Error>) {
        guard !isClosed else { return }
        asking.remove(name)
        if due[name] != nil { note(name, finding) }
        for number in rounds.keys.sorted() {
            rounds[number]?.waiting.remove(name)
            if rounds[number]?.waiting.isEmpty == true { rounds.removeValue(forKey: number)?.promise.succeed() }
        }
        startNext()
    }

    private func note(_ name: String, _ finding: Result<[IPAddress], any Error>) {
        switch finding {
        case .success(let fresh):
            failures[name] = nil
            due[name] = HostClock.now() + HostNames.lifetimeUnknown
            if !ageless.contains(name) { ageless.append(name) }
            guard fresh != addresses[name] else { return }
            addresses[name] = fresh
            changed(nil)
        case .failure(let error):
            let count = failures[name] ?? 0
            failures[name] = count + 1
            due[name] = HostClock.now() + Self.pause(after: count)
            guard count == 0 else { return }
            let stays = addresses[name] == nil ? "until it can be, it is nobody's" : "its last addresses stay in use"
            changed("\(error); \(stays)")
        }
    }

    private static func pause(after failures: Int) -> Duration {
        let doublings = min(failures, 16)
        return min(retryMin * (1 << doublings), HostNames.lifetimeUnknown)
    }

    /// What is still answered counts for nothing.
    func close() {
        isClosed = true
        for round in rounds.values { round.promise.succeed() }
        rounds = [:]
        (waiting, ageless, queued) = ([], [], [])
    }
}
