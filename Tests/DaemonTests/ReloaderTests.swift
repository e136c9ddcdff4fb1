import Addresses
import AuditTrail
import BundleSamples
import Bundles
import Clock
import Configuration
import Dispatch
import Glibc
import NIOCore
import NIOPosix
import Policy
import PolicyFile
import Synchronization
import Testing

@testable import Daemon

private struct Refused: Error, CustomStringConvertible {
    let description = "no"
}

/// A reloader on its own event loop; the test is the netfilter process, and answers for the resolver.
private final class Site: Sendable {
    struct State {
        var readings = 0
        var enforced = 0
        /// The rules of the policies put into force, and whether settings came with them.
        var inForce: [(rules: Policy, settings: Settings?)] = []
        var events: [AuditEvent] = []
        var remembered: [AcceptedBundle] = []
        var kept: [[UInt8]?] = []
        var wallClock = Timestamp(milliseconds: 0)
        var answers: EventLoopPromise<HostAddresses>?
        var refusesReading = false
        var refusesEnforcing = false
    }

    let state = Mutex(State())
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let loop: any EventLoop
    private let reloader: NIOLoopBound<Reloader>
    private let thread: NIOLoopBound<WorkThread>
    private let change = DispatchSemaphore(value: 0)

    init(rules: [Rule] = [.sample()], refusal: String? = nil) throws {
        let loop = group.next()
        self.loop = loop
        let box = Mutex<Site?>(nil)
        let site = { @Sendable () -> Site? in box.withLock { $0 } }
        let thread = try loop.submit { NIOLoopBound(WorkThread(for: loop), eventLoop: loop) }.wait()
        self.thread = thread
        reloader = try loop.submit {
            let surroundings = Reloader.Surroundings(
                read: { loop.makeCompletedFuture { try site()?.read() } },
                enforce: { loop.makeCompletedFuture { try site()?.enforce() } }, settings: { Settings() },
                fit: { $0 }, putInForce: { site()?.putInForce($0, $1) ?? loop.makeSucceededVoidFuture() },
                record: { event in site()?.state.withLock { $0.events.append(event) } },
                remember: { bundle, bytes in
                    site()?.state.withLock {
                        $0.remembered.append(bundle)
                        $0.kept.append(bytes)
                    }
                },
                keptBundlePath: Site.keptBundlePath,
                wallClock: { site()?.state.withLock { $0.wallClock } ?? Timestamp(milliseconds: 0) }, failed: { _ in })
            let resolver = HostNameBook.Resolver(
                addresses: { _ in
                    let promise = loop.makePromise(of: HostAddresses.self)
                    site()?.state.withLock { $0.answers = promise }
                    return promise.futureResult
                }, lifetime: { _ in loop.makeSucceededFuture(.seconds(60)) })
            let reloader = Reloader(
                on: loop, thread.value, configuration: Site.path, resolver: resolver, surroundings)
            return NIOLoopBound(reloader, eventLoop: loop)
        }.wait()
        box.withLock { $0 = self }
        var load = LoadResult()
        load.rules = rules
        load.bundleRefusal = refusal
        let start = load
        try with { $0.start(start, at: .zero) }
    }

    static let path = "/nowhere/rpcwarden.yaml"
    static let keptBundlePath = "/nowhere/bundle.accepted"

    /// What a reading finds: a configuration, and a policy beside it.
    static func files(_ policy: String, configuration: String = "policy: p.yaml") -> FilesRead {
        [path: .file(Array(configuration.utf8)), "/nowhere/p.yaml": .file(Array(policy.utf8))]
    }

    private func read() throws {
        try state.withLock { state in
            state.readings += 1
            if state.refusesReading { throw Refused() }
        }
    }

    private func enforce() throws {
        try state.withLock { state in
            if state.refusesEnforcing { throw Refused() }
            state.enforced += 1
        }
    }

    private func putInForce(_ compiled: PolicySet, _ settings: Settings?) -> EventLoopFuture<Void> {
        state.withLock { $0.inForce.append((compiled[0].policy, settings)) }
        change.signal()
        return loop.makeSucceededVoidFuture()
    }

    func awaitChange() { #expect(change.wait(timeout: .now() + 30) == .success) }

    func with<Value: Sendable>(_ body: @escaping @Sendable (Reloader) -> Value) throws -> Value {
        let reloader = reloader
        return try loop.submit { body(reloader.value) }.wait()
    }

    func reload() throws -> EventLoopFuture<[String]> { try with { $0.reload() } }

    func refusal(of update: EventLoopFuture<[String]>) -> String? {
        do {
            _ = try update.wait()
            return nil
        } catch {
            return "\(error)"
        }
    }

    func filesRead(_ files: FilesRead) throws { try with { $0.filesRead(files) } }

    func close() throws {
        state.withLock { $0.answers.take() }?.fail(Refused())
        try with { $0.close() }
        let thread = thread
        try loop.submit { thread.value.close() }.wait()
        try group.syncShutdownGracefully()
    }
}

@Suite("reloading") struct ReloaderTests {
    private static let rule = "rules: [{name: fresh, from: 10.9.0.0/16, to: nfs}]"

    @Test("takes the bytes that the netfilter process read, tells the changes, and has that process judge by them")
    func reload() throws {
        let site = try Site()
        let update = try site.reload()
        #expect(try site.with { !$0.isSettled && !$0.knowsNames })
        try site.filesRead(Site.files(Self.rule))
        #expect(
            try update.wait() == [
                "rule added: p.yaml:1 \"fresh\"", "rule removed: \(Rule.sample().label)", "settings changed: policy",
            ])
        let state = site.state.withLock { $0 }
        #expect(state.readings == 1 && state.enforced == 1)
        #expect(state.inForce.map(\.rules.rules.first?.name) == ["fresh"])
        #expect(state.inForce.first?.settings?.policyPath == "p.yaml")
        #expect(state.events.map(\.kind) == [.reloaded])
        #expect(try site.with { $0.isSettled && $0.knowsNames })
        try site.close()
    }

    @Test("tells a change of mode in words that `rpcwarden report` reads in the log")
    func mode() throws {
        let site = try Site()
        let update = try site.reload()
        try site.filesRead(Site.files(Self.rule, configuration: "policy: p.yaml\nmode: observe"))
        #expect(try update.wait().contains("mode changed from enforce to observe"))
        try site.close()
    }

    @Test("refuses files with an error as a whole, with every diagnostic; the next request reads anew")
    func refusal() throws {
        let site = try Site()
        let update = try site.reload()
        try site.filesRead(Site.files("rules: [{name: x, from: 10.1.0.0/16, to: nfss}, {nmae: y}]"))
        let text = try #require(site.refusal(of: update))
        #expect(text.contains("nfss") && text.contains("nmae"))
        #expect(site.state.withLock { $0.enforced == 0 && $0.inForce.isEmpty })
        #expect(site.state.withLock { $0.events.map(\.kind) } == [.reloadRefused])
        let next = try site.reload()
        try site.filesRead(Site.files(Self.rule))
        #expect(try next.wait().count == 3)
        #expect(site.state.withLock { $0.readings } == 2)
        try site.close()
    }

    private static func fleetFiles(serial: UInt64, notAfter: Timestamp? = nil) throws -> FilesRead {
        let configuration = "policy: p.yaml\nfleet: {policy: {group: nfs, bundle: b, keys: k, expire: deny}}"
        var files = Site.files(rule, configuration: configuration)
        files["/nowhere/k"] = .file(Array(BundleSamples.publicKey.utf8))
        let rule = "rules: [{name: fleets, from: 10.2.0.0/16, to: nfs}]"
        files["/nowhere/b"] = .file(try BundleSamples.signed(["a.yaml": rule], serial: serial, notAfter: notAfter))
        return files
    }

    @Test("a fleet's policy is put in force with the rest, remembered, and not followed by an older one")
    func fleet() throws {
        let site = try Site()
        let first = try site.reload()
        try site.filesRead(try Self.fleetFiles(serial: 42))
        #expect(try first.wait().contains("rule added: b:a.yaml:1 \"fleets\""))
        let older = try site.reload()
        try site.filesRead(try Self.fleetFiles(serial: 41))
        #expect(site.refusal(of: older)?.contains("serial 41 is older than 42") == true)
        let state = site.state.withLock { $0 }
        #expect(state.enforced == 1 && state.inForce.count == 1 && state.remembered.map(\.serial) == [42])
        #expect(state.events.map(\.kind) == [.policyAccepted, .reloaded, .policyRefused, .reloadRefused])
        #expect(try site.with { $0.bundleInForce?.serial } == 42)
        try site.close()
    }

    @Test("the bytes of a fetched policy are kept; a start that fell back on them tells why")
    func kept() throws {
        let site = try Site(refusal: "beyond the ceiling")
        #expect(
            site.state.withLock { $0.events } == [AuditEvent(.policyRefused, detail: "beyond the ceiling")])
        let first = try site.reload()
        let files = try Self.fleetFiles(serial: 42)
        try site.filesRead(files)
        _ = try first.wait()
        var fetched = files
        fetched[Site.path] = .file(Array("policy: p.yaml\nfleet: {policy: {group: nfs, keys: k}}".utf8))
        let bytes = try BundleSamples.signed(["a.yaml": "rules: [{name: x, from: 10.2.0.0/16, to: nfs}]"], serial: 43)
        fetched[Settings.Fleet.Bundle.fetchedFolder + "/nfs.bundle"] = .file(bytes)
        let second = try site.reload()
        try site.filesRead(fetched)
        _ = try second.wait()
        let state = site.state.withLock { $0 }
        #expect(state.remembered.map(\.serial) == [42, 43] && state.kept == [nil, bytes])
        try site.close()
    }

    @Test("what was fetched and is refused doesn't hold up a change of this host's own policy: the accepted one stays")
    func refusedFetch() throws {
        let site = try Site()
        let bytes = try BundleSamples.signed(["a.yaml": "rules: [{name: x, from: 10.2.0.0/16, to: nfs}]"], serial: 42)
        let fetchedPath = Settings.Fleet.Bundle.fetchedFolder + "/nfs.bundle"
        var files = Site.files(
            Self.rule, configuration: "policy: p.yaml\nfleet: {policy: {group: nfs, keys: k}}")
        files["/nowhere/k"] = .file(Array(BundleSamples.publicKey.utf8))
        files[fetchedPath] = .file(bytes)
        let first = try site.reload()
        try site.filesRead(files)
        _ = try first.wait()
        files["/nowhere/p.yaml"] = .file(Array("rules: []".utf8))
        files[fetchedPath] = .file(Array("garbage".utf8))
        files[Site.keptBundlePath] = .file(bytes)
        let second = try site.reload()
        try site.filesRead(files)
        let changes = try second.wait()
        #expect(changes.contains("rule removed: p.yaml:1 \"fresh\""))
        #expect(changes.contains { $0.hasPrefix("the fleet's new policy is refused, and the accepted one stays: ") })
        let state = site.state.withLock { $0 }
        #expect(state.inForce.map { $0.rules.rules.map(\.name) } == [["fresh", "x"], ["x"]])
        #expect(state.events.map(\.kind) == [.policyAccepted, .reloaded, .policyRefused, .reloaded])
        #expect(state.remembered.map(\.serial) == [42])
        try site.close()
    }

    @Test("the rules of a fleet's policy permit no look-up once it has expired, if the settings say so")
    func expiry() throws {
        let site = try Site()
        let update = try site.reload()
        let end = Timestamp(milliseconds: 1_900_000_000_000)
        try site.filesRead(try Self.fleetFiles(serial: 42, notAfter: end))
        _ = try update.wait()
        try site.with { $0.timeAdvanced(to: .zero) }
        #expect(site.state.withLock { $0.inForce.count } == 1)
        site.state.withLock { $0.wallClock = end + .seconds(1) }
        site.awaitChange()
        try site.with { $0.timeAdvanced(to: .zero) }
        site.awaitChange()
        let state = site.state.withLock { $0 }
        let decisions = state.inForce.map { $0.rules.newLookup(.nfs, over: .tcp, by: .v4(0x0a02_0001)) }
        #expect(decisions == [.permitted(rule: 1, open: .onLookup), .noRule])
        #expect(state.events.last?.kind == .policyExpired)
        try site.close()
    }

    @Test("a rule about servers permits nothing at this host")
    func servers() throws {
        let site = try Site()
        let update = try site.reload()
        try site.filesRead(Site.files("rules: [{name: far, from: 10.9.0.0/16, to: nfs, at: any-server}]"))
        _ = try update.wait()
        #expect(site.state.withLock { $0.inForce.map(\.rules.rules.count) } == [0])
        try site.close()
    }

    @Test("servers that are new wait for a restart, and the reload says so")
    func gateway() throws {
        let site = try Site()
        let update = try site.reload()
        let configuration = "policy: p.yaml\ngateway: {servers: [{name: nas, address: 10.0.0.1}]}"
        try site.filesRead(Site.files(Self.rule, configuration: configuration))
        #expect(try update.wait().contains { $0.contains("gateway") && $0.contains("restart to apply") })
        #expect(site.state.withLock { $0.enforced } == 1)
        try site.close()
    }

    @Test("a missing file is told as the netfilter process found it, though it may be there by now")
    func missing() throws {
        let site = try Site()
        let update = try site.reload()
        try site.filesRead([Site.path: .file(Array("policy: /etc/hostname".utf8))])
        #expect(site.refusal(of: update)?.contains("can't read \"/etc/hostname\": No such file") == true)
        try site.close()
    }

    @Test("requests during an update are handled together by the next one")
    func queue() throws {
        let site = try Site()
        let first = try site.reload()
        let others = [try site.reload(), try site.reload()]
        #expect(site.state.withLock { $0.readings } == 1)
        try site.filesRead(Site.files(Self.rule))
        _ = try first.wait()
        // The next update has begun once the first one's promise is complete.
        #expect(try site.with { !$0.isSettled })
        #expect(site.state.withLock { $0.readings } == 2)
        try site.filesRead(Site.files(Self.rule))
        for other in others { #expect(try other.wait() == ["settings changed: policy"]) }
        try site.close()
    }

    @Test("a netfilter process that can't read or judge leaves the old policy in force")
    func netfilterRefuses() throws {
        let site = try Site()
        site.state.withLock { $0.refusesReading = true }
        #expect(site.refusal(of: try site.reload()) == "the netfilter process can't read the new policy: no")
        site.state.withLock { ($0.refusesReading, $0.refusesEnforcing) = (false, true) }
        let update = try site.reload()
        try site.filesRead(Site.files(Self.rule))
        #expect(site.refusal(of: update) == "the netfilter process can't read the new policy: no")
        #expect(site.state.withLock { $0.inForce.isEmpty })
        #expect(site.state.withLock { $0.events.map(\.kind) } == [.reloadRefused, .reloadRefused])
        try site.close()
    }

    @Test("other addresses of a host name put the same rules into force, with the same settings")
    func addresses() throws {
        var rule = Rule.sample()
        rule.from = [.host("client.example")]
        let site = try Site(rules: [rule])
        #expect(try site.with { !$0.knowsNames })
        site.state.withLock { $0.answers.take() }?.succeed([.v4(0x0a01_0203)])
        site.awaitChange()
        let state = site.state.withLock { $0 }
        #expect(state.readings == 0 && state.events.isEmpty)
        #expect(state.inForce.first?.settings == nil)
        #expect(state.inForce.first?.rules.rules(naming: .v4(0x0a01_0203)).count == 1)
        try site.close()
    }

    @Test("a reading that hangs is given up after 30 s, and holds up nothing; until it ends, reloads are refused")
    func hangingReading() throws {
        var rule = Rule.sample()
        rule.from = [.host("client.example")]
        let site = try Site(rules: [rule])
        let update = try site.reload()
        for seconds in [0, 29, 30] as [Int64] {
            try site.with { $0.timeAdvanced(to: .zero + .seconds(100 + seconds)) }
            #expect(site.state.withLock { $0.events.count } == (seconds == 30 ? 1 : 0))
        }
        #expect(site.refusal(of: update)?.contains("longer than 30 s") == true)
        site.state.withLock { $0.answers.take() }?.succeed([.v4(0x0a01_0203)])
        site.awaitChange()
        #expect(site.state.withLock { $0.inForce.last?.rules.rules(naming: .v4(0x0a01_0203)).count } == 1)
        #expect(site.refusal(of: try site.reload())?.contains("longer than 30 s") == true)
        #expect(site.state.withLock { $0.readings } == 1)
        // What it found is of then.
        try site.filesRead(Site.files("rules: []"))
        let next = try site.reload()
        try site.filesRead(Site.files(Self.rule))
        #expect(try next.wait().contains("rule added: p.yaml:1 \"fresh\""))
        #expect(site.state.withLock { $0.readings } == 2)
        try site.close()
    }

    @Test("addresses that were found during a reload that is refused count nevertheless")
    func addressesOfRefused() throws {
        var rule = Rule.sample()
        rule.from = [.host("client.example")]
        let site = try Site(rules: [rule])
        site.state.withLock { $0.answers.take() }?.succeed([.v4(0x0a01_0203)])
        site.awaitChange()
        site.state.withLock { $0.refusesEnforcing = true }
        let update = try site.reload()
        try site.filesRead(Site.files("rules: [{name: r, from: client.example, to: nfs}]"))
        while site.state.withLock({ $0.answers == nil }) { usleep(1000) }
        site.state.withLock { $0.answers.take() }?.succeed([.v4(0x0a01_0204)])
        #expect(site.refusal(of: update) != nil)
        site.awaitChange()
        let inForce = site.state.withLock { $0.inForce }
        #expect(inForce.last?.rules.rules(naming: .v4(0x0a01_0204)).count == 1)
        try site.close()
    }

    @Test("an end of the daemon is told to all who wait")
    func stopping() throws {
        let site = try Site()
        let updates = [try site.reload(), try site.reload()]
        try site.with { $0.close() }
        for update in updates { #expect(site.refusal(of: update) == "the daemon is stopping") }
        try site.close()
    }
}
