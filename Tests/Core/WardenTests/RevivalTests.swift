import Addresses
import Clock
import Configuration
import CoreSamples
import Firewall
import Policy
import TestSupport
import Testing

@testable import Gate

@Suite("revival of grants, and tampering") struct RevivalTests {
    private static let client = "10.1.2.3"
    private static let mountd = ServicePort(.tcp, 20048)
    private static let key = GrantKey(client: ip(client), service: mountd)
    private static let rules = [Rule.sample()]

    /// A client holds a grant for mountd, or held one until it expired.
    private static func granted(settings: Settings = Settings()) -> Bench {
        let bench = Bench.started(rules, settings: settings)
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        #expect(bench.kernel.granted[key] != nil)
        return bench
    }

    private static func expired(settings: Settings = Settings()) -> Bench {
        let bench = granted(settings: settings)
        bench.advance(by: settings.firewall.keep + .seconds(1))
        bench.advance(by: .seconds(1))
        #expect(bench.kernel.granted[key] == nil)
        bench.forget()
        return bench
    }

    private func drop(_ bench: Bench, _ client: String = client, _ service: ServicePort = mountd) {
        let packet = DroppedPacket(client: ip(client), clientPort: 700, service: service, kind: .remembered)
        bench.handle { warden, now, actions in
            warden.packetDropped(packet, at: now, into: &actions)
            warden.flush(at: now, into: &actions)
        }
    }

    @Test("a packet of a client that never held the grant opens nothing, and is told of as a probe")
    func neverHeld() {
        let bench = Self.expired()
        drop(bench, "10.1.2.4")
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.events.map(\.kind) == [.probed])
        #expect(bench.events.first?.programName == "mountd")
    }

    @Test("a packet to another port than the client held opens nothing")
    func otherPort() {
        let bench = Self.expired()
        drop(bench, Self.client, ServicePort(.tcp, 2049))
        #expect(bench.kernel.granted.isEmpty)
    }

    @Test("an expired grant does not come back where revival is off")
    func off() {
        var settings = Settings()
        settings.firewall.revive = .zero
        let bench = Self.expired(settings: settings)
        drop(bench)
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.kernel.remembered.isEmpty)
    }

    @Test(
        "a grant that expired while the daemon was stopped comes back only where revival is on",
        arguments: [Duration.zero, .seconds(3600)])
    func expiredUnseen(revive: Duration) {
        var settings = Settings()
        settings.firewall.revive = revive
        let bench = Self.granted(settings: settings)
        bench.now = bench.now + settings.firewall.keep + .seconds(1)
        bench.kernel.advance(to: bench.now)
        bench.forget()
        drop(bench)
        #expect(bench.kernel.granted.keys.contains(Self.key) == (revive > .zero))
        #expect(bench.events.map(\.kind) == (revive > .zero ? [.renewed] : [.probed]))
        bench.advance(by: .seconds(1))
        #expect(
            (bench.kernel.granted[Self.key] != nil, bench.loop.warden.grantCount == 1) == (
                revive > .zero, revive > .zero
            ))
    }

    @Test("an expired grant does not come back when policy no longer permits it")
    func policyChanged() {
        let bench = Self.expired()
        bench.handle { $0.policyReplaced(PolicySet(Policy()), settings: $0.settings, at: $1, into: &$2) }
        drop(bench)
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.kernel.remembered.isEmpty)
        let cut = Bench.Cut(clients: AddressRange(Self.key.client, Self.key.client), service: Self.mountd)
        #expect(bench.cut == [cut], "a flow may have outlived its grant")
    }

    @Test("an expired grant does not come back when nothing listens any more")
    func dead() {
        let bench = Self.expired()
        bench.silent[Self.mountd] = ListenerState()
        bench.advance(by: .seconds(1))
        drop(bench)
        #expect(bench.kernel.granted.isEmpty)
    }

    @Test("an expired grant does not come back when another program has the port")
    func moved() {
        let bench = Self.expired()
        bench.rpcbind.registrations = bench.rpcbind.registrations.map { rpcb in
            var rpcb = rpcb
            if rpcb.program == .mountd { rpcb.program = .status }
            return rpcb
        }
        bench.advance(by: .seconds(1))
        drop(bench)
        #expect(bench.kernel.granted.isEmpty)
    }

    @Test("what the operator revoked does not come back")
    func revoked() {
        let bench = Self.granted()
        bench.handle {
            _ = $0.revoke(client: Self.key.client, port: nil, transport: nil, at: $1, into: &$2)
        }
        drop(bench)
        #expect(bench.kernel.granted.isEmpty)
    }

    @Test("what the operator revoked does not come back, though its service goes before the kernel has done it")
    func revokedAndGone() {
        let bench = Self.granted()
        let registrations = bench.rpcbind.registrations
        bench.holdsCommits = true
        bench.handle {
            _ = $0.revoke(client: Self.key.client, port: nil, transport: nil, at: $1, into: &$2)
        }
        bench.rpcbind.registrations = registrations.filter { $0.program != .mountd }
        bench.advance(by: .seconds(1))
        bench.releaseCommits()
        bench.rpcbind.registrations = registrations
        bench.advance(by: .seconds(1))
        drop(bench)
        #expect(bench.kernel.granted.isEmpty && bench.kernel.remembered.isEmpty)
    }

    @Test("an expired grant comes back with its client's own packet, and is not remembered any more")
    func revived() {
        let bench = Self.expired()
        #expect(Set(bench.kernel.remembered.keys) == [Self.key])
        drop(bench)
        #expect(Set(bench.kernel.granted.keys) == [Self.key])
        bench.handle { $0.flush(at: $1, into: &$2) }
        #expect(bench.kernel.remembered.isEmpty)
        #expect(bench.events.map(\.kind) == [.renewed])
        #expect(bench.events.first?.detail == "revived")
    }

    @Test("a service that unregisters and comes back to its port finds its clients again")
    func serviceRestarted() {
        let bench = Self.granted()
        let registrations = bench.rpcbind.registrations
        bench.rpcbind.registrations = registrations.filter { $0.program != .mountd }
        bench.advance(by: .seconds(1))
        #expect(bench.kernel.granted.isEmpty)
        bench.rpcbind.registrations = registrations
        bench.advance(by: .seconds(1))
        drop(bench)
        #expect(Set(bench.kernel.granted.keys) == [Self.key])
    }

    @Test("what was remembered survives a restart of the daemon")
    func restart() {
        let before = Self.expired()
        let bench = Bench(Self.rules)
        bench.now = before.now
        bench.kernel = before.kernel
        bench.rpcbind = before.rpcbind
        bench.start()
        #expect(Set(bench.kernel.remembered.keys) == [Self.key])
        drop(bench)
        #expect(Set(bench.kernel.granted.keys) == [Self.key])
    }

    @Test("remembers no more than limits.grants, the latest")
    func bounded() {
        var memory = GrantMemory()
        let entry = { (second: Int64) in
            GrantMemory.Entry(
                note: GrantNote(program: .mountd, issued: Timestamp(milliseconds: 0), rule: "r"),
                programs: Programs(.mountd),
                until: Instant(nanoseconds: second))
        }
        let keys = (1...3).map { GrantKey(client: .v4(UInt32($0)), service: Self.mountd) }
        let forgotten = zip(keys, [1, 2, 3]).map { memory.remember($0, entry($1), limit: 2) }
        #expect(forgotten == [[], [], [keys[0]]])
        #expect(Set(memory.entries.keys) == Set(keys[1...]))
        #expect(memory.trim(to: 1) == [keys[1]])
        #expect(Set(memory.entries.keys) == [keys[2]])
    }

    @Test("a lower limit that is reloaded is in force at once")
    func loweredLimit() {
        let bench = Self.expired()
        #expect(!bench.kernel.remembered.isEmpty)
        bench.reload(Self.rules, settings: Settings().with { $0.limits.grants = 0 })
        #expect(bench.kernel.remembered.isEmpty)
    }

    private func change(_ what: TableChange.What, isOwn: Bool = false, table: String = "rpcwarden") -> TableChange {
        .changed(.init(table: table, what: what, isOwn: isOwn, writer: .init(processID: 7, name: "nft")))
    }

    @Test("our own changes, and those of other tables, are no tampering")
    func innocent() {
        let bench = Self.granted()
        bench.forget()
        bench.handle {
            $0.tableChanged(
                [change(.tableDeleted, isOwn: true), change(.tableDeleted, table: "filter")], at: $1, into: &$2)
        }
        #expect(bench.events.isEmpty)
        #expect(bench.kernel.committed.isEmpty)
    }

    @Test("a flushed table is made anew with every live grant, and logged as tampering with who did it")
    func flushed() {
        let bench = Self.granted()
        bench.advance(by: .seconds(1))
        let guarded = bench.kernel.guarded
        bench.forget()
        bench.kernel.flush()
        bench.handle { $0.tableChanged([change(.tableDeleted)], at: $1, into: &$2) }
        #expect(Set(bench.kernel.granted.keys) == [Self.key])
        #expect(bench.kernel.guarded == guarded)
        #expect(bench.events.map(\.kind) == [.tampered, .restored])
        #expect(bench.events.first?.detail == "table deleted by nft (pid 7)")
    }

    @Test("a table that is made anew later, for another reason, is not told of as restored again")
    func restoredOnce() {
        let bench = Self.granted()
        bench.kernel.flush()
        bench.handle { $0.tableChanged([change(.tableDeleted)], at: $1, into: &$2) }
        bench.advance(by: .seconds(1))
        #expect(bench.events(.restored).count == 1)
        bench.reload(Self.rules, settings: .observing)
        #expect(bench.kernel.shape?.observes == true)
        #expect(bench.events(.restored).count == 1)
    }

    @Test("a tampered event tells that the table went before all that went with it, and each change once")
    func mostImportantFirst() {
        let bench = Self.granted()
        bench.forget()
        let elements = (1...20).map { change(.elementDeleted(.guarded(.tcp($0)))) }
        let changes = elements + [change(.definition), change(.definition), change(.tableDeleted)]
        bench.handle { $0.tableChanged(changes, at: $1, into: &$2) }
        let event = bench.events(.tampered).first
        #expect(event?.count == 23)
        #expect(
            event?.detail?.hasPrefix(
                "definitions changed by nft (pid 7); table deleted by nft (pid 7); guarded tcp/1 deleted") == true)
    }

    @Test("an administrator may add rules to a table that holds only sets")
    func setsOnly() {
        var settings = Settings()
        settings.firewall.management = .sets
        let bench = Self.granted(settings: settings)
        bench.forget()
        bench.handle { $0.tableChanged([change(.definition)], at: $1, into: &$2) }
        #expect(bench.events.isEmpty)
    }
}
