import HostNames
import NIOCore
import NIOPosix
import Policy
import Portmapper
import Warden

/// What the host names of the policy resolve to; keeps them fresh on a thread of its own.
final class HostNameBook {
    struct Finding: Sendable {
        var name: String
        var addresses: [IPAddress]?
        var failure: String?
    }

    private(set) var addresses: [String: [IPAddress]] = [:]
    private var due: [String: Instant] = [:]
    private var underWay: Set<String> = []
    private var failed: Set<String> = []
    private let loop: any EventLoop
    private let pool = NIOThreadPool(numberOfThreads: 1)
    private var isStarted = false
    /// A name resolves to something else, or can't be resolved any more.
    private let changed: (_ failure: String?) -> Void

    init(on loop: any EventLoop, changed: @escaping (_ failure: String?) -> Void) {
        self.loop = loop
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
        for name in names where due[name] == nil { due[name] = .zero }
    }

    /// Resolves what has grown old.
    func timeAdvanced(to now: Instant) {
        for (name, at) in due where at <= now && !underWay.contains(name) { resolve(name) }
    }

    /// Every name has been asked once.
    var isComplete: Bool { due.values.allSatisfy { $0 != .zero } }

    private func resolve(_ name: String) {
        if !isStarted {
            isStarted = true
            pool.start()
        }
        underWay.insert(name)
        let this = NIOLoopBound(self, eventLoop: loop)
        pool.runIfActive(eventLoop: loop) { Self.look(up: name) }.whenComplete { result in
            this.value.underWay.remove(name)
            if case .success(let finding) = result { this.value.found(finding) }
        }
    }

    private static func look(up name: String) -> Finding {
        do {
            return Finding(name: name, addresses: try HostNames.resolve(name))
        } catch {
            return Finding(name: name, failure: error.description)
        }
    }

    /// The TTL is asked for behind the answer's back: a DNS server may take long to say that it knows none.
    private func learnLifetime(of name: String) {
        underWay.insert(name)
        let this = NIOLoopBound(self, eventLoop: loop)
        pool.runIfActive(eventLoop: loop) { HostNames.lifetime(of: name) }.whenSuccess { lifetime in
            this.value.underWay.remove(name)
            if this.value.due[name] != nil { this.value.due[name] = HostClock.now() + lifetime }
        }
    }

    /// A name that can't be resolved keeps the addresses that it had: a resolver's fault must not unmount anybody.
    private func found(_ finding: Finding) {
        guard due[finding.name] != nil else { return }
        due[finding.name] = HostClock.now() + HostNames.lifetimeUnknown
        if let fresh = finding.addresses {
            learnLifetime(of: finding.name)
            failed.remove(finding.name)
            guard fresh != addresses[finding.name] else { return }
            addresses[finding.name] = fresh
            changed(nil)
        } else if failed.insert(finding.name).inserted {
            changed(finding.failure)
        }
    }

    func close() {
        if isStarted { pool.shutdownGracefully { _ in } }
    }
}
