import Addresses
import Clock
import HostNames
import NIOCore
import Policy

/// The addresses of the policy's host names, resolved again as they expire.
///
/// Resolving a name takes half a minute if no name server answers, so several names are resolved at once; names
/// whose last attempt failed leave some places to the others.
final class HostNameBook {
    /// Asks the connector. Both futures complete on the book's event loop.
    struct Resolver {
        /// Fails with the error to report.
        var addresses: (_ name: String) -> EventLoopFuture<HostAddresses>
        var lifetime: (_ name: String) -> EventLoopFuture<Duration>
    }

    /// Names resolved at once; the others wait.
    static let questionsMax = 32
    /// Of these, places for names that have no answer yet or failed the last time: a dead server holds them for long.
    static let doubtfulMax = 24
    /// Requests for a name's lifetime under way at once.
    static let lifetimesMax = 4
    /// The delay before a name that can't be resolved is tried again; it doubles with each failure.
    static let retryMin: Duration = .seconds(1)

    private(set) var addresses: [String: HostAddresses] = [:]
    /// When to resolve each name next; `.zero`: there was no answer yet.
    private var due: [String: Instant] = [:]
    private var waiting: [String] = []
    /// The names in `waiting`, as a set for look-ups.
    private var queued: Set<String> = []
    private var asking: Set<String> = []
    /// Names with unknown lifetime; `learning` has the names with a request for the lifetime under way.
    private var ageless: [String] = []
    private var learning: Set<String> = []
    /// Failed attempts in a row, by name; an attempt fails too if one family stays unknown.
    private var failures: [String: Int] = [:]
    private var rounds: [Int: Round] = [:]
    private var lastRound = 0
    private let loop: any EventLoop
    private let resolver: Resolver
    private var isClosed = false
    /// Called when a name resolves to other addresses, or can't be resolved any more.
    private let changed: (_ failure: String?) -> Void

    /// Names that a reload waits for.
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

    /// Resolves the names with expired addresses again.
    func timeAdvanced(to now: Instant) {
        for (name, at) in due where at <= now { ask(name) }
        startNext()
    }

    /// Whether every name has had an answer, even if it couldn't be resolved.
    var isComplete: Bool { due.values.allSatisfy { $0 != .zero } }

    /// Resolves all of these names; the future completes when each has an answer, or after `limit`.
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

    /// Problems of these names to report, a line each: names without addresses, and names with outdated addresses.
    func shortcomings(of names: Set<String>) -> [String] {
        let isOpen = { (name: String) in
            self.asking.contains(name) || self.queued.contains(name) || self.failures[name] != nil
        }
        let unresolved = names.filter { addresses[$0] == nil }.sorted()
        let half = names.filter { addresses[$0]?.unknown != nil }.sorted()
        let old = names.filter { (addresses[$0].map { $0.unknown == nil } ?? false) && isOpen($0) }.sorted()
        let cut = names.filter { addresses[$0]?.isCut == true }.sorted()
        var lines: [String] = []
        if !unresolved.isEmpty {
            lines.append("not resolved yet: \(Self.list(unresolved)); their rules take effect when they are")
        }
        if !old.isEmpty { lines.append("not resolved again: \(Self.list(old)); their last addresses stay in use") }
        if !half.isEmpty {
            lines.append(
                "resolved for IPv4 or IPv6 alone: \(Self.list(half)); a rule that excepts them permits no client")
        }
        if !cut.isEmpty { lines.append("\(Self.cutText): \(Self.list(cut)); \(Self.cutEffect)") }
        return lines
    }

    private static let cutText = "more than \(HostAddresses.countMax) addresses"
    private static let cutEffect = "the others aren't permitted, and a rule that excepts the name permits no client"
    private static let namesToldMax = 16

    private static func list(_ names: [String]) -> String {
        let told = names.prefix(namesToldMax).joined(separator: ", ")
        return names.count > namesToldMax ? "\(told) and \(names.count - namesToldMax) more" : told
    }

    // MARK: Asking

    /// A name that is being resolved or queued isn't queued again.
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

    /// The TTL is requested after the answer is used: a DNS server may take long to reply that it knows none.
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

    /// A name that can't be resolved keeps its earlier addresses, and so does a family: a resolver's failure must not cut
    /// off any client, nor admit one that an exception names.
    private func found(_ name: String, _ finding: Result<HostAddresses, any Error>) {
        guard !isClosed else { return }
        asking.remove(name)
        if due[name] != nil { note(name, finding) }
        for number in rounds.keys.sorted() {
            rounds[number]?.waiting.remove(name)
            if rounds[number]?.waiting.isEmpty == true { rounds.removeValue(forKey: number)?.promise.succeed() }
        }
        startNext()
    }

    private func note(_ name: String, _ finding: Result<HostAddresses, any Error>) {
        let earlier = addresses[name]
        switch finding {
        case .success(let answer):
            let fresh = answer.filled(from: earlier)
            if let family = answer.unknown {
                let stays =
                    fresh.unknown == nil
                    ? "its last \(family) addresses stay in use"
                    : "until it can be, a rule that excepts it permits no client"
                failed(name, "can't resolve \"\(name)\" for \(family); \(stays)")
            } else {
                failures[name] = nil
                due[name] = HostClock.now() + HostNames.lifetimeUnknown
                if !ageless.contains(name) { ageless.append(name) }
            }
            if fresh.isCut, earlier?.isCut != true {
                changed("\"\(name)\" has \(Self.cutText); \(Self.cutEffect)")
            }
            guard fresh != earlier else { return }
            addresses[name] = fresh
            changed(nil)
        case .failure(let error):
            let stays = earlier == nil ? "until it can be, it matches no client" : "its last addresses stay in use"
            failed(name, "\(error); \(stays)")
        }
    }

    /// Reports the first failure in a row, and tries again after a while.
    private func failed(_ name: String, _ why: String) {
        let count = failures[name] ?? 0
        failures[name] = count + 1
        due[name] = HostClock.now() + Self.pause(after: count)
        if count == 0 { changed(why) }
    }

    private static func pause(after failures: Int) -> Duration {
        let doublings = min(failures, 16)
        return min(retryMin * (1 << doublings), HostNames.lifetimeUnknown)
    }

    /// Ends all rounds; later answers are ignored.
    func close() {
        isClosed = true
        for round in rounds.values { round.promise.succeed() }
        rounds = [:]
        (waiting, ageless, queued) = ([], [], [])
    }
}
