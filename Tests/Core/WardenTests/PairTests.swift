import Addresses
import AuditTrail
import Calls
import Clock
import Configuration
import CoreSamples
import Firewall
import FleetRecords
import Policy
import Portmapper
import TestSupport
import Testing

@testable import Gate
@testable import Sharing
@testable import Warden

/// This node and others of its pair: what it tells, and what it takes over.
@Suite("grants that a pair shares") struct PairTests {
    private static let client = ip("10.1.2.3")
    private static let mountd = ServicePort(.tcp, 20048)
    private static let key = GrantKey(client: client, service: mountd)
    private static let grant = SharedGrant(client, .mountd, .tcp)
    private static let settings = Settings().with {
        $0.fleet = Settings.Fleet()
        $0.fleet?.pair = Settings.Fleet.Pair()
        $0.fleet?.pair?.name = "nas"
    }

    private static func bench(
        _ rules: [Rule] = [.sample()], settings: Settings = settings, registering registrations: [RPCB] = .typical
    ) -> Bench {
        Bench.started(rules, settings: settings, registering: registrations)
    }

    private static func offer(
        _ grant: SharedGrant = grant, age: Duration = .seconds(60), keep: Duration = .seconds(86_400),
        issued: Timestamp = Bench.startOfTime + .seconds(-100)
    ) -> GrantOffer {
        GrantOffer(grant: grant, node: "nas2", origin: "nas2", issued: issued, age: age, keep: keep)
    }

    private func offer(_ bench: Bench, _ offers: GrantOffer...) {
        bench.handle { warden, now, actions in
            for offer in offers { warden.grantOffered(offer, at: now, into: &actions) }
            warden.flush(at: now, into: &actions)
        }
    }

    // MARK: Refused

    @Test("opens nothing that this node's policy doesn't permit on a look-up", arguments: [Opening.never, .always])
    func policy(open: Opening) {
        let bench = Self.bench([.sample(open: open)])
        offer(bench, Self.offer())
        offer(bench, Self.offer(SharedGrant(ip("192.0.2.9"), .mountd, .tcp)))
        offer(bench, Self.offer(SharedGrant(Self.client, .nfs, .tcp)))
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.loop.warden.fleetGauges == FleetGauges())
    }

    @Test("opens nothing that is over, or longer than this node keeps grants")
    func over() {
        let bench = Self.bench()
        offer(bench, Self.offer(age: .seconds(86_400)))
        #expect(bench.kernel.granted.isEmpty)
        offer(bench, Self.offer(age: .seconds(86_400 - 30), keep: .seconds(2 * 86_400)))
        #expect(bench.kernel.granted[Self.key]?.timeout == .seconds(30))
    }

    @Test("opens no port of an owner that isn't trusted, none that is spared, and none where nothing listens")
    func untrusted() {
        let foreign = RPCB.ownPlaces + RPCB.everywhere(.mountd, 3, port: 20048, owner: "1000")
        let bench = Self.bench(registering: foreign)
        offer(bench, Self.offer())
        #expect(bench.kernel.granted.isEmpty)
        let never = Self.settings.with { $0.firewall.never.insert(20048) }
        let spared = Self.bench(settings: never)
        offer(spared, Self.offer())
        #expect(spared.kernel.granted.isEmpty)
        let dead = Bench([.sample()], settings: Self.settings)
        dead.rpcbind.registrations = .typical
        dead.silent[Self.mountd] = ListenerState(ipv4: false, ipv6: false)
        dead.start()
        offer(dead, Self.offer())
        #expect(dead.kernel.granted.isEmpty)
    }

    @Test("is nothing without a pair")
    func off() {
        let bench = Self.bench(settings: Settings())
        offer(bench, Self.offer())
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        #expect(bench.told.isEmpty)
        #expect(bench.kernel.granted.count == 1)
    }

    @Test("never changes a grant that this node issued, nor ends it")
    func own() {
        let bench = Self.bench()
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        bench.advance(by: .seconds(40_000))
        let before = bench.kernel.granted[Self.key]
        offer(bench, Self.offer(age: .zero, issued: Bench.startOfTime + .seconds(40_000)))
        bench.handle { $0.copiesEnded([Self.grant], at: $1, into: &$2) }
        bench.advance(by: .seconds(1))
        #expect(bench.kernel.granted[Self.key] == before)
        #expect(bench.loop.warden.fleetGauges.grants == 0)
    }

    @Test("waits while a call over UDP, which may be forged, holds the port open, and is taken when that ends")
    func doubtful() {
        let bench = Self.bench()
        bench.call(.port(of: .mountd), from: .named)
        offer(bench, Self.offer(keep: .seconds(3600)))
        #expect(bench.loop.warden.fleetGauges == FleetGauges(waiting: 1))
        #expect(bench.kernel.granted[Self.key]?.comment.contains("nas2") == false)
        bench.advance(by: .seconds(130))
        bench.refresh()
        bench.advance(by: .seconds(1))
        #expect(bench.loop.warden.fleetGauges == FleetGauges(grants: 1))
        #expect(bench.kernel.granted[Self.key]?.comment.hasSuffix("(from nas2)") == true)
    }

    @Test("waits no longer once a packet has proven the call over UDP")
    func proven() {
        let bench = Self.bench()
        bench.call(.port(of: .mountd), from: .named)
        offer(bench, Self.offer())
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        bench.advance(by: .seconds(130))
        #expect(bench.loop.warden.fleetGauges == FleetGauges())
        #expect(bench.kernel.granted[Self.key]?.comment.contains("nas2") == false)
    }

    // MARK: Taken over

    @Test("opens this node's own port for the rest of the grant's life, and tells which node it is from")
    func open() {
        let bench = Self.bench()
        offer(bench, Self.offer())
        let element = bench.kernel.granted[Self.key]
        #expect(element?.timeout == .seconds(86_340))
        #expect(element?.comment.hasSuffix("(from nas2)") == true)
        #expect(bench.events(.granted).first?.rule?.hasSuffix("(from nas2)") == true)
        #expect(bench.told.isEmpty)
        #expect(bench.loop.warden.fleetGauges.grants == 1)
    }

    @Test("waits for its service, and comes to life at its registration", arguments: [1, 3000])
    func waiting(count: Int) {
        let bench = Self.bench(registering: RPCB.ownPlaces)
        for number in 0..<count {
            offer(bench, Self.offer(SharedGrant(.v4(0x0a01_0000 + UInt32(number)), .mountd, .tcp)))
        }
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.loop.warden.fleetGauges.waiting == count)
        bench.rpcbind.registrations = .typical
        bench.refresh()
        #expect(!bench.kernel.granted.isEmpty)
        // Calls come between the kernel's transactions.
        #expect(bench.kernel.granted.count <= 1024)
        for _ in 0..<5 { bench.advance(by: .milliseconds(50)) }
        #expect(bench.kernel.granted.count == count)
        #expect(bench.loop.warden.fleetGauges == FleetGauges(grants: count))
    }

    @Test("that waits leaves nothing behind when its time is up")
    func waitedInVain() {
        let bench = Self.bench(registering: RPCB.ownPlaces)
        offer(bench, Self.offer(age: .seconds(86_400 - 30)))
        #expect(bench.loop.warden.sharing.waiting.places.count == 1)
        bench.advance(by: .seconds(31))
        #expect(bench.loop.warden.sharing.waiting.places.isEmpty)
        #expect(bench.loop.warden.fleetGauges == FleetGauges())
    }

    @Test("that waits is decided anew when its service comes: policy, and the time that is left")
    func decidedAnew() {
        let bench = Self.bench(registering: RPCB.ownPlaces)
        let other = SharedGrant(ip("10.1.2.4"), .mountd, .tcp)
        offer(bench, Self.offer(), Self.offer(other, age: .seconds(86_399)))
        bench.reload([.sample(from: ["10.1.2.4"])])
        bench.advance(by: .seconds(2))
        bench.rpcbind.registrations = .typical
        bench.refresh()
        bench.advance(by: .milliseconds(50))
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.loop.warden.fleetGauges == FleetGauges())
    }

    @Test("that waits is not opened when its service comes at the very moment at which its time is up")
    func overAtRegistration() {
        let bench = Self.bench(registering: RPCB.ownPlaces)
        offer(bench, Self.offer(age: .seconds(86_400 - 30)))
        bench.now = bench.now + .seconds(30)
        bench.rpcbind.registrations = .typical
        bench.handle { warden, now, actions in warden.ask(.registry, of: 0, for: .refresh, at: now, into: &actions) }
        bench.answerAll()
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.loop.warden.fleetGauges == FleetGauges())
    }

    @Test("keeps the life that its client's packets gave it, when another node offers less: the kernel is asked first")
    func renewed() {
        let bench = Self.bench()
        offer(bench, Self.offer())
        bench.advance(by: .seconds(40_000))
        bench.kernel.packet(Self.key)
        let end = bench.now + .seconds(86_400)
        offer(bench, Self.offer(age: .seconds(30_000)))
        bench.advance(by: .milliseconds(100))
        #expect(bench.kernel.granted[Self.key]?.expires == end)
        // One that nobody used here gains.
        let other = SharedGrant(ip("10.1.2.4"), .mountd, .tcp)
        offer(bench, Self.offer(other, age: .seconds(60_000)))
        bench.advance(by: .seconds(10))
        offer(bench, Self.offer(other, age: .seconds(5)))
        bench.advance(by: .milliseconds(100))
        let left = bench.kernel.granted[GrantKey("10.1.2.4", Self.mountd)].map { $0.expires - bench.now }
        #expect(left.map { $0 > .seconds(86_390) } == true)
        #expect(bench.loop.warden.fleetGauges.grants == 2)
    }

    @Test("stems from the later of two grants, though that gives it little more life, and is none the shorter for it")
    func issuedAgain() {
        let bench = Self.bench()
        offer(bench, Self.offer())
        bench.kernel.packet(Self.key)
        bench.advance(by: .seconds(100))
        let end = bench.kernel.granted[Self.key]?.expires
        // It was revoked and asked for again while this node's sidecar was away.
        let issued = Bench.startOfTime + .seconds(90)
        offer(bench, Self.offer(age: .seconds(1000), issued: issued))
        bench.advance(by: .milliseconds(100))
        #expect(bench.kernel.granted[Self.key]?.expires == end)
        #expect(bench.kernel.granted[Self.key]?.comment.contains("since \(issued) by") == true)
        #expect(bench.loop.warden.gate[Self.key]?.issued == issued)
        guard case .live(Self.grant, let record, _)? = bench.sharedGrants(fromPlace: 0, count: 10).messages.first else {
            Issue.record("it isn't told")
            return
        }
        #expect(record.issued == issued)
        // An older one, and the same again, change nothing.
        bench.kernel.committed = []
        offer(bench, Self.offer(age: .zero), Self.offer(age: .zero, issued: issued))
        bench.advance(by: .milliseconds(100))
        #expect(bench.kernel.committed.isEmpty)
    }

    @Test(
        "that ended while the kernel is asked for its life isn't renewed, nor a later one by that offer",
        arguments: [false, true])
    func endedBeforeRenewal(isToldAfterwards: Bool) {
        let bench = Self.bench()
        offer(bench, Self.offer(age: .seconds(60_000)))
        bench.handle { warden, now, actions in
            warden.grantOffered(Self.offer(age: .zero), at: now, into: &actions)
            warden.copiesEnded([Self.grant], at: now, into: &actions)
            if isToldAfterwards {
                warden.grantsInspected([Self.key], [Self.key: .seconds(26_400)], at: now, into: &actions)
            }
            warden.flush(at: now, into: &actions)
        }
        bench.advance(by: .seconds(1))
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.loop.warden.fleetGauges == FleetGauges())
        offer(bench, Self.offer(age: .seconds(50_000), issued: Bench.startOfTime + .seconds(-20)))
        let end = bench.now + .seconds(36_400)
        for _ in 0..<30 { bench.advance(by: .seconds(1000)) }
        #expect(bench.kernel.granted[Self.key]?.expires == end)
    }

    @Test("is a copy to the kernel's comment, the ledger and the part that shares, or to none of them")
    func oneMind() {
        let bench = Self.bench([.sample(to: [.mountd, .nlockmgr])])
        func check(_ bench: Bench, _ copies: Int, _ line: Int = #line) {
            let place = SourceLocation(fileID: #fileID, filePath: #filePath, line: line, column: 1)
            var found = 0
            for (key, grant) in bench.loop.warden.gate.grants {
                let isMarked = bench.kernel.granted[key]?.comment.hasSuffix("(from nas2)")
                #expect(isMarked == grant.isCopy, sourceLocation: place)
                #expect((bench.loop.warden.sharing.copy(key) != nil) == grant.isCopy, sourceLocation: place)
                if grant.isCopy { found += 1 }
            }
            #expect(found == copies && bench.kernel.granted.count >= copies, sourceLocation: place)
        }
        offer(bench, Self.offer(age: .seconds(40_000)), Self.offer(SharedGrant(ip("10.1.2.4"), .mountd, .tcp)))
        check(bench, 2)
        offer(bench, Self.offer(age: .zero))
        bench.advance(by: .milliseconds(100))
        check(bench, 2)
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        check(bench, 1)
        offer(bench, Self.offer(age: .zero, issued: bench.loop.warden.wallClock(at: bench.now)))
        check(bench, 1)
        bench.rpcbind.registrations = RPCB.ownPlaces
        bench.refresh()
        check(bench, 0)
        bench.rpcbind.registrations = .typical
        bench.refresh()
        bench.advance(by: .milliseconds(100))
        check(bench, 1)
        let next = Bench([.sample(to: [.mountd, .nlockmgr])], settings: Self.settings)
        next.rpcbind.registrations = .typical
        next.kernel = bench.kernel
        next.now = bench.now
        next.start()
        check(next, 1)
        offer(next, Self.offer(SharedGrant(ip("10.1.2.5"), .mountd, .tcp)))
        next.call(.port(of: .mountd), from: .from("10.1.2.4", .tcp))
        check(next, 1)
        next.handle { warden, now, actions in
            warden.copiesEnded([SharedGrant(ip("10.1.2.5"), .mountd, .tcp)], at: now, into: &actions)
            warden.flush(at: now, into: &actions)
        }
        check(next, 0)
    }

    private static func ended(_ why: EndedRecord.Reason, _ bench: Bench) -> DaemonMessage {
        .ended(grant, EndedRecord(at: bench.loop.warden.wallClock(at: bench.now), why: why))
    }

    @Test("waits again when its service goes, and nobody is told of an end")
    func serviceGoes() {
        let bench = Self.bench()
        offer(bench, Self.offer())
        bench.rpcbind.registrations = RPCB.ownPlaces
        bench.refresh()
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.loop.warden.fleetGauges == FleetGauges(waiting: 1))
        #expect(bench.told.isEmpty)
        bench.rpcbind.registrations = .typical
        bench.refresh()
        bench.advance(by: .milliseconds(50))
        #expect(bench.kernel.granted[Self.key] != nil)
    }

    @Test("is there again when its service has moved to another port before the registry was read")
    func serviceMoves() {
        let bench = Self.bench()
        offer(bench, Self.offer())
        bench.rpcbind.registrations = RPCB.ownPlaces + RPCB.everywhere(.mountd, 3, port: 30048)
        bench.refresh()
        bench.advance(by: .milliseconds(50))
        #expect(bench.kernel.granted.keys.map(\.service) == [ServicePort(.tcp, 30048)])
        #expect(bench.loop.warden.fleetGauges == FleetGauges(grants: 1))
    }

    @Test("ends, with its flows, when another node ends it, and doesn't come back with a packet")
    func ended() {
        let bench = Self.bench()
        offer(bench, Self.offer())
        bench.handle { warden, now, actions in
            warden.copiesEnded([Self.grant], at: now, into: &actions)
            warden.flush(at: now, into: &actions)
        }
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.cut.map(\.service) == [Self.mountd])
        #expect(bench.events(.revoked).map(\.detail) == ["ended by another node"])
        #expect(bench.kernel.remembered.isEmpty)
        #expect(bench.told.isEmpty)
    }

    @Test("ends when this node's policy no longer permits it; the others are told")
    func reloaded() {
        let bench = Self.bench()
        offer(bench, Self.offer())
        bench.reload([.sample(from: ["10.1.2.4"])])
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.told == [Self.ended(.policy, bench)])
    }

    @Test("of this node's operator ends at all nodes, and is not taken from them again")
    func revoked() {
        let bench = Self.bench()
        offer(bench, Self.offer())
        bench.handle { warden, now, actions in
            _ = warden.revoke(client: Self.client, port: nil, transport: nil, at: now, into: &actions)
        }
        #expect(bench.told == [Self.ended(.revoked, bench)])
        offer(bench, Self.offer())
        #expect(bench.kernel.granted.isEmpty)
        offer(bench, Self.offer(age: .zero, issued: Bench.startOfTime + .seconds(60)))
        #expect(bench.kernel.granted[Self.key] != nil)
    }

    @Test("that another node issued before the operator's revocation, and tells later, is not taken")
    func revokedBeforeImport() {
        for isWhole in [true, false] {
            let bench = Self.bench()
            bench.advance(by: .seconds(100))
            bench.handle { warden, now, actions in
                _ = warden.revoke(
                    client: Self.client, port: isWhole ? nil : 2049, transport: nil, at: now, into: &actions)
            }
            bench.advance(by: .seconds(3))
            offer(bench, Self.offer(age: .zero, issued: Bench.startOfTime + .seconds(95)))
            #expect(bench.kernel.granted.isEmpty == isWhole)
            offer(bench, Self.offer(age: .zero, issued: Bench.startOfTime + .seconds(111)))
            #expect(bench.kernel.granted.count == 1)
        }
    }

    @Test("of many clients that were revoked are remembered, the latest of them")
    func manyRevoked() {
        let bench = Self.bench()
        for number in 0..<1100 {
            let client = IPAddress.v4(0x0a01_0000 + UInt32(number))
            bench.handle { warden, now, actions in
                _ = warden.revoke(client: client, port: nil, transport: nil, at: now, into: &actions)
            }
            bench.advance(by: .milliseconds(50))
        }
        for number in [0, 1000, 1099] {
            offer(bench, Self.offer(SharedGrant(.v4(0x0a01_0000 + UInt32(number)), .mountd, .tcp)))
        }
        #expect(bench.kernel.granted.keys.map(\.client) == [ip("10.1.0.0")])
    }

    @Test("that was issued before an order ends, and what was issued since stays; no node is told of a revocation")
    func ordered() {
        let bench = Self.bench()
        offer(bench, Self.offer())
        bench.call(.port(of: .mountd), from: .from("10.1.2.4", .tcp))
        bench.forget()
        for client in ["10.1.2.3", "10.1.2.4"] {
            bench.handle { warden, now, actions in
                _ = warden.revoke(
                    client: ip(client), port: nil, transport: nil, order: Bench.startOfTime + .seconds(-50), at: now,
                    into: &actions)
            }
        }
        #expect(bench.kernel.granted.keys.map(\.client) == [ip("10.1.2.4")])
        #expect(bench.events(.revoked).map(\.detail) == ["by an order of the fleet"])
        #expect(bench.told == [.expired(Self.grant)])
        // Another node that has not heard of the order yet offers it again.
        offer(bench, Self.offer())
        #expect(bench.kernel.granted.count == 1)
    }

    @Test(
        "that this node issued ends by an order, though the publisher's clock may be behind by 10 s",
        arguments: [10, 11])
    func orderedByAnotherClock(behindBy seconds: Int) {
        let bench = Self.bench()
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        bench.handle { warden, now, actions in
            _ = warden.revoke(
                client: Self.client, port: nil, transport: nil, order: Bench.startOfTime + .seconds(-seconds), at: now,
                into: &actions)
        }
        #expect(bench.kernel.granted.isEmpty == (seconds == 10))
    }

    @Test("of a node whose clock is ahead ends by an order, and isn't taken after one")
    func orderedAhead() {
        let ahead = Bench.startOfTime + .seconds(3 * 3600)
        let bench = Self.bench()
        offer(bench, Self.offer(issued: ahead))
        #expect(bench.kernel.granted.count == 1)
        bench.advance(by: .seconds(600))
        bench.handle { warden, now, actions in
            _ = warden.revoke(
                client: Self.client, port: nil, transport: nil, order: Bench.startOfTime + .seconds(590), at: now,
                into: &actions)
        }
        bench.advance(by: .seconds(1))
        #expect(bench.kernel.granted.isEmpty)
        offer(bench, Self.offer(issued: ahead))
        #expect(bench.kernel.granted.isEmpty)
    }

    /// A client's grants were revoked at this time of this node's clock, which is right afterwards.
    private func revoked(_ bench: Bench, at time: Timestamp) {
        bench.handle { warden, now, _ in warden.wallClockRead(time, at: now) }
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        bench.handle { warden, now, actions in
            _ = warden.revoke(client: Self.client, port: nil, transport: nil, at: now, into: &actions)
        }
        bench.advance(by: .seconds(1))
        bench.handle { warden, now, _ in warden.wallClockRead(Bench.startOfTime + .seconds(1), at: now) }
    }

    @Test("that was revoked while the clock was ahead stays so, and the revocation stands in no later grant's way")
    func revokedAhead() {
        let bench = Self.bench()
        revoked(bench, at: Bench.startOfTime + .seconds(3 * 3600))
        offer(bench, Self.offer())
        #expect(bench.kernel.granted.isEmpty)
        bench.advance(by: .seconds(3600))
        offer(bench, Self.offer(age: .zero, issued: Bench.startOfTime + .seconds(3600)))
        #expect(bench.kernel.granted.count == 1)
        bench.forget()
        bench.call(.port(of: .mountd), from: .named.over(.tcp), xid: 9)
        guard case .issued(Self.grant, let record)? = bench.told.first else {
            Issue.record("\(bench.told)")
            return
        }
        #expect(record.issued == bench.loop.warden.wallClock(at: bench.now))
    }

    @Test(
        "that an earlier run ended stays so, though this run's clock is ahead at first, or that run's was",
        arguments: [0, 2 * 86_400, 60 * 86_400, -365 * 86_400])
    func endedByEarlierRun(ahead seconds: Int) {
        for end in [Timestamp](arrayLiteral: Bench.startOfTime, Bench.startOfTime + .seconds(3 * 3600)) {
            let bench = Self.bench()
            bench.handle { warden, now, _ in
                warden.wallClockRead(Bench.startOfTime + .seconds(seconds), at: now)
                warden.endedGrantsFound(
                    [.remembered(Self.grant, EndedRecord(at: end, why: .revoked))], at: now)
            }
            bench.advance(by: .seconds(600))
            bench.handle { warden, now, _ in warden.wallClockRead(Bench.startOfTime + .seconds(600), at: now) }
            bench.advance(by: .seconds(1))
            #expect(bench.loop.warden.endedGrants.count == 1)
            offer(bench, Self.offer())
            #expect(bench.kernel.granted.isEmpty)
            bench.advance(by: .seconds(1200))
            offer(bench, Self.offer(age: .zero, issued: Bench.startOfTime + .seconds(1500)))
            // The clock was right when the earlier run's time was read, or has been set since.
            #expect(bench.kernel.granted.count == 1)
        }
    }

    @Test("that was revoked, issued again and then ended by policy is still not taken from others as it was before")
    func revokedThenEndedByPolicy() {
        let bench = Self.bench()
        func ask() { bench.call(.port(of: .mountd), from: .named.over(.tcp)) }
        ask()
        bench.handle { warden, now, actions in
            _ = warden.revoke(client: Self.client, port: nil, transport: nil, at: now, into: &actions)
        }
        bench.advance(by: .seconds(20))
        ask()
        bench.advance(by: .seconds(20))
        bench.reload([.sample(from: ["10.1.2.4"])])
        bench.reload([.sample()])
        offer(bench, Self.offer())
        #expect(bench.kernel.granted.isEmpty)
    }

    @Test("that policy ended takes the place of no revocation, however many there are")
    func revocationsStay() {
        var sharing = Sharing(Self.settings)
        let now = Instant.zero
        _ = sharing.ended(Self.grant, .revoked, at: now, Bench.startOfTime)
        for number in 0..<UInt32(EndedGrants.countMax) {
            _ = sharing.ended(SharedGrant(.v4(number), .mountd, .tcp), .policy, at: now, Bench.startOfTime)
        }
        #expect(sharing.life(of: Self.offer(), Bench.startOfTime) == nil)
        #expect(sharing.endedGrants.count == EndedGrants.countMax)
    }

    @Test("are remembered as ended up to a limit: the first to be forgotten make room")
    func endsAreBounded() {
        var sharing = Sharing(Self.settings)
        let (count, start) = (EndedGrants.countMax, Bench.startOfTime)
        let grants = (0...UInt32(count)).map { SharedGrant(.v4($0), .mountd, .tcp) }
        for (number, grant) in grants.enumerated() {
            _ = sharing.ended(grant, .revoked, at: .zero + .milliseconds(number), start)
        }
        #expect(sharing.endedGrants.count == count)
        #expect(sharing.life(of: Self.offer(grants[0]), start) != nil)
        #expect(sharing.life(of: Self.offer(grants[1]), start) == nil)
    }

    @Test("that this node ended stays ended after a restart, whoever offers it")
    func endedBefore() {
        let bench = Self.bench()
        offer(bench, Self.offer())
        bench.handle { warden, now, actions in
            _ = warden.revoke(client: Self.client, port: nil, transport: nil, at: now, into: &actions)
        }
        let next = Self.bench()
        let ended = bench.loop.warden.endedGrants
        #expect(ended.count == 1)
        next.handle { warden, now, _ in warden.endedGrantsFound(ended, at: now) }
        offer(next, Self.offer())
        #expect(next.kernel.granted.isEmpty)
        next.advance(by: .seconds(29 * 86_400))
        offer(next, Self.offer())
        #expect(next.kernel.granted.isEmpty)
        next.advance(by: .seconds(86_400 + 3601))
        #expect(next.loop.warden.endedGrants.isEmpty)
    }

    @Test(
        "that was revoked long ago, here or by an order, is not taken from a node that was away",
        arguments: [true, false])
    func revokedLongAgo(byOrder: Bool) {
        let bench = Self.bench()
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        bench.advance(by: .seconds(60))
        bench.handle { warden, now, actions in
            _ = warden.revoke(
                client: Self.client, port: byOrder ? nil : 20048, transport: nil,
                order: byOrder ? Bench.startOfTime + .seconds(60) : nil, at: now, into: &actions)
        }
        for _ in 0..<(26 + 24 * 20) { bench.advance(by: .seconds(3600)) }
        offer(bench, Self.offer(age: .seconds(1), issued: Bench.startOfTime))
        #expect(bench.kernel.granted.isEmpty)
    }

    @Test("that an earlier run ended is remembered no longer for the restart")
    func endedLongBefore() {
        let seconds = 40_000
        let bench = Self.bench()
        let ended = EndedRecord(at: Bench.startOfTime, why: .policy)
        bench.advance(by: .seconds(seconds))
        bench.handle { warden, now, _ in warden.endedGrantsFound([.remembered(Self.grant, ended)], at: now) }
        bench.advance(by: .seconds(86_400 + 3600 - seconds - 1))
        #expect(bench.loop.warden.endedGrants.count == 1)
        bench.advance(by: .seconds(1))
        #expect(bench.loop.warden.endedGrants.isEmpty)
    }

    @Test("that waits ends too when the operator revokes its client's grants")
    func waitingRevoked() {
        let bench = Self.bench(registering: RPCB.ownPlaces)
        offer(bench, Self.offer())
        bench.handle { warden, now, actions in
            _ = warden.revoke(client: Self.client, port: nil, transport: nil, at: now, into: &actions)
        }
        #expect(bench.told == [Self.ended(.revoked, bench)])
        #expect(bench.loop.warden.fleetGauges == FleetGauges())
    }

    @Test("becomes this node's own when its client asks here, however long it would live", arguments: [0, 80_000])
    func taken(age: Int) {
        let bench = Self.bench()
        offer(bench, Self.offer(age: .seconds(age)))
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        #expect(bench.kernel.granted[Self.key]?.timeout == .seconds(86_400))
        guard case .issued(Self.grant, let record)? = bench.told.first else {
            Issue.record("\(bench.told)")
            return
        }
        // A revocation between the copy's issue and now doesn't beat it.
        #expect(record.origin == nil && record.issued >= Bench.startOfTime)
        #expect(bench.loop.warden.fleetGauges.grants == 0)
        bench.handle { $0.copiesEnded([Self.grant], at: $1, into: &$2) }
        bench.advance(by: .seconds(1))
        #expect(bench.kernel.granted[Self.key] != nil)
    }

    @Test("keeps the time of its node when the clock here is set back")
    func timeOfItsNode() {
        let bench = Self.bench()
        let ahead = Bench.startOfTime + .seconds(3)
        offer(bench, Self.offer(issued: ahead))
        bench.handle { warden, now, _ in warden.wallClockRead(Bench.startOfTime + .seconds(-3600), at: now) }
        #expect(bench.loop.warden.grant(Self.key)?.issued == ahead)
    }

    @Test("is a copy again after a restart, and is told as such")
    func adopted() {
        let bench = Self.bench()
        offer(bench, Self.offer())
        bench.call(.port(of: .nfs), from: .named.over(.tcp))
        let next = Bench([.sample()], settings: Self.settings)
        next.rpcbind.registrations = .typical
        next.kernel = bench.kernel
        next.now = bench.now
        next.start()
        #expect(next.loop.warden.fleetGauges.grants == 1)
        let (messages, _) = next.sharedGrants(fromPlace: 0, count: 10)
        guard case .live(Self.grant, let record, let isUsed)? = messages.first else {
            Issue.record("\(messages)")
            return
        }
        #expect(record.origin == "nas2" && !isUsed)
    }

    @Test("is no grant of a call over UDP after a restart, however short its life and without a packet")
    func adoptedShort() {
        let bench = Self.bench()
        offer(bench, Self.offer(age: .seconds(86_400 - 100)))
        let next = Bench([.sample()], settings: Self.settings)
        next.rpcbind.registrations = .typical
        next.kernel = bench.kernel
        next.now = bench.now
        next.start()
        #expect(next.loop.warden.grant(Self.key)?.isUnproven == false)
    }

    @Test("that waits for one service comes to life though another's are being opened")
    func twoServices() {
        let bench = Self.bench([.sample(to: [.mountd, .nlockmgr])], registering: RPCB.ownPlaces)
        for number in 0..<3000 {
            let client = IPAddress.v4(0x0a01_0000 + UInt32(number))
            offer(
                bench, Self.offer(SharedGrant(client, .mountd, .tcp)), Self.offer(SharedGrant(client, .nlockmgr, .tcp)))
        }
        bench.rpcbind.registrations = RPCB.ownPlaces + RPCB.everywhere(.mountd, 3, port: 20048)
        bench.refresh()
        // Clients that ask meanwhile leave gaps.
        for number in 0..<100 { bench.call(.port(of: .mountd), from: .from("10.1.0.\(number)", .tcp)) }
        bench.rpcbind.registrations += RPCB.everywhere(.nlockmgr, 4, port: 32_803)
        bench.refresh()
        for _ in 0..<10 { bench.advance(by: .milliseconds(50)) }
        #expect(bench.loop.warden.fleetGauges.waiting == 0)
        #expect(bench.kernel.granted.count == 6000)
    }

    @Test("that another node ended while its service was away doesn't come back with a packet; this node's own may")
    func endedWhileAway() {
        let bench = Self.bench()
        let own = GrantKey("10.1.2.4", Self.mountd)
        offer(bench, Self.offer())
        bench.call(.port(of: .mountd), from: .from("10.1.2.4", .tcp))
        bench.rpcbind.registrations = RPCB.ownPlaces
        bench.refresh()
        #expect(bench.kernel.remembered.count == 2)
        bench.handle { warden, now, actions in
            warden.copiesEnded(
                [Self.grant, SharedGrant(ip("10.1.2.4"), .mountd, .tcp)], at: now, into: &actions)
            warden.flush(at: now, into: &actions)
        }
        #expect(bench.kernel.remembered.keys.map { $0 } == [own])
        bench.rpcbind.registrations = .typical
        bench.refresh()
        bench.advance(by: .milliseconds(50))
        #expect(bench.kernel.granted.isEmpty)
    }

    @Test("that comes over what the client held of this node leaves that when it ends")
    func memoryKept() {
        let bench = Self.bench()
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        bench.advance(by: .seconds(86_401))
        bench.advance(by: .seconds(1))
        #expect(bench.kernel.remembered.count == 1)
        offer(bench, Self.offer(issued: Bench.startOfTime + .seconds(86_400)))
        #expect(bench.kernel.granted.count == 1)
        bench.handle { warden, now, actions in
            warden.copiesEnded([Self.grant], at: now, into: &actions)
            warden.flush(at: now, into: &actions)
        }
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.kernel.remembered.count == 1)
    }

    @Test(
        "that is on its way to the kernel ends there, by another node, an operator, or an order", arguments: [0, 1, 2])
    func endedOnItsWay(by whom: Int) {
        let bench = Self.bench()
        bench.holdsCommits = true
        offer(bench, Self.offer())
        bench.handle { warden, now, actions in
            switch whom {
            case 0: warden.copiesEnded([Self.grant], at: now, into: &actions)
            case 1: _ = warden.revoke(client: Self.client, port: nil, transport: nil, at: now, into: &actions)
            default:
                _ = warden.revoke(
                    client: Self.client, port: nil, transport: nil, order: Bench.startOfTime, at: now, into: &actions)
            }
        }
        bench.releaseCommits()
        bench.advance(by: .milliseconds(50))
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.loop.warden.fleetGauges == FleetGauges())
    }

    @Test("on its way to the kernel that its client makes this node's own takes no place of the pair's any more")
    func takenOnItsWay() {
        let bench = Self.bench(settings: Self.settings.with { $0.fleet?.pair?.grants = 1 })
        bench.holdsCommits = true
        bench.call(.port(of: .mountd), from: .from("10.1.2.4", .tcp))
        offer(bench, Self.offer())
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        bench.releaseCommits()
        #expect(bench.loop.warden.gate[Self.key]?.isCopy == false)
        offer(bench, Self.offer(SharedGrant(ip("10.1.2.9"), .mountd, .tcp)))
        #expect(bench.loop.warden.fleetGauges == FleetGauges(grants: 1))
    }

    @Test("that is offered again right after its end is taken")
    func endedAndOffered() {
        let bench = Self.bench()
        offer(bench, Self.offer())
        bench.handle { warden, now, actions in
            warden.copiesEnded([Self.grant], at: now, into: &actions)
            warden.grantOffered(Self.offer(age: .zero), at: now, into: &actions)
            warden.flush(at: now, into: &actions)
        }
        #expect(bench.kernel.granted[Self.key]?.timeout == .seconds(86_400))
        #expect(bench.loop.warden.fleetGauges == FleetGauges(grants: 1))
    }

    @Test("that is there already lives on with an offer, though the pair may have no more")
    func prolongedAtLimit() {
        let bench = Self.bench(settings: Self.settings.with { $0.fleet?.pair?.grants = 1 })
        offer(bench, Self.offer(age: .seconds(40_000)))
        offer(bench, Self.offer(age: .zero), Self.offer(SharedGrant(ip("10.1.2.9"), .mountd, .tcp)))
        bench.advance(by: .milliseconds(50))
        #expect(bench.kernel.granted.keys.map { $0 } == [Self.key])
        #expect(bench.kernel.granted[Self.key].map { $0.expires - bench.now > .seconds(86_399) } == true)
    }

    @Test("that is offered after an order, and was issued before it, is not taken, also after a restart")
    func offeredAfterOrder() {
        let bench = Self.bench()
        bench.handle { warden, now, _ in
            warden.orderFollowed(Self.client, at: Bench.startOfTime + .seconds(-50), at: now)
        }
        offer(bench, Self.offer())
        #expect(bench.kernel.granted.isEmpty)
        offer(bench, Self.offer(age: .zero, issued: Bench.startOfTime + .seconds(-30)))
        #expect(bench.kernel.granted.count == 1)
    }

    @Test("that the kernel refuses waits, and is tried again; nothing is counted twice")
    func refused() {
        let bench = Self.bench(settings: Self.settings.with { $0.fleet?.pair?.grants = 1 })
        let failure = CommitFailure(errno: ModelKernel.fileTableOverflow, message: "full", operation: nil)
        bench.kernel.refusals = [failure, failure]
        offer(bench, Self.offer())
        for _ in 0..<20 { bench.advance(by: .milliseconds(100)) }
        #expect(bench.kernel.granted.count == 1)
        #expect(bench.loop.warden.fleetGauges == FleetGauges(grants: 1))
    }

    @Test("behind a gateway waits for a service that isn't registered, or is dead, without asking again and again")
    func deadServer() {
        for isRegistered in [true, false] {
            let settings = ServerTests.settings.with { $0.fleet = Self.settings.fleet }
            let bench = ServerTests.bench(settings: settings, filer: isRegistered ? .typical : RPCB.ownPlaces)
            let service = ServicePort(.tcp, 20048, at: ServerTests.id)
            bench.dead = [service]
            offer(bench, Self.offer(SharedGrant(ip("10.1.0.8"), .mountd, .tcp, server: ServerTests.first)))
            for _ in 0..<4 { bench.advance(by: .seconds(5)) }
            #expect(bench.loop.warden.fleetGauges == FleetGauges(waiting: 1))
            #expect(bench.called.count < 20)
            bench.dead = []
            bench.portmappers[1] = ScriptedRpcbind(registrations: .typical)
            for _ in 0..<3 { bench.advance(by: .seconds(5)) }
            #expect(bench.loop.warden.fleetGauges == FleetGauges(grants: 1))
        }
    }

    // MARK: Limits

    /// Half of the table is full of copies, the other half of this node's own.
    private static func full(_ change: (inout Settings) -> Void = { _ in }) -> Bench {
        let bench = bench(
            [.sample(to: [.mountd, .nfs])],
            settings: settings.with { settings in
                settings.limits.grants = 8
                change(&settings)
            })
        bench.handle { warden, now, actions in
            for number in 0..<6 {
                warden.grantOffered(
                    offer(SharedGrant(.v4(0x0a01_0100 + UInt32(number)), .mountd, .tcp)), at: now, into: &actions)
            }
            warden.flush(at: now, into: &actions)
        }
        for number in 0..<4 { bench.call(.port(of: .mountd), from: .from("10.1.4.\(number)", .tcp)) }
        bench.forget()
        return bench
    }

    @Test("that another node has leave room to this node's own clients, all that come at once; their flows go on")
    func room() {
        let bench = Self.full()
        #expect(bench.kernel.granted.count == 8)
        bench.handle { warden, now, actions in
            for number in 0..<4 {
                let peer = Peer.from("10.1.3.\(number)", .tcp, channel: UInt64(number))
                warden.callReceived(.init(.port(of: .mountd), from: peer), at: now, into: &actions)
            }
        }
        bench.answerAll()
        #expect(
            bench.replies.map(\.reply.body)
                == Array(repeating: .success(PortmapperResult.port(20048).encoded), count: 4))
        #expect(bench.kernel.granted.keys.allSatisfy { $0.client > ip("10.1.2.255") })
        #expect(bench.events(.revoked).map(\.detail) == Array(repeating: "room for this node's own clients", count: 4))
        #expect(bench.cut.isEmpty)
        #expect(bench.kernel.remembered.count == 4)
    }

    @Test("give no room to calls that may be forged, nor to a client that has too many itself")
    func noRoom() {
        let bench = Self.full()
        #expect(
            bench.ask(.port(of: .mountd), from: .from("10.1.3.1")) != [.success(PortmapperResult.port(20048).encoded)])
        #expect(bench.kernel.granted.count == 8)
        #expect(bench.loop.warden.fleetGauges.grants == 4)
        let greedy = Self.full { $0.limits.grantsPerClient = 1 }
        greedy.call(.port(of: .nfs), from: .from("10.1.1.0", .tcp))
        #expect(greedy.kernel.granted.count == 8)
        #expect(greedy.loop.warden.fleetGauges.grants == 4)
    }

    @Test("take half of limits.grants at most, and nothing of what calls over UDP may have")
    func udpShare() {
        let bench = Self.bench(settings: Self.settings.with { $0.limits.grants = 40 })
        for number in 0..<40 { offer(bench, Self.offer(SharedGrant(ip("10.1.7.\(number)"), .mountd, .tcp))) }
        #expect(bench.loop.warden.fleetGauges == FleetGauges(grants: 20))
        for number in 0..<12 { bench.call(.port(of: .mountd), from: .from("10.1.3.\(number)", .tcp)) }
        for number in 0..<8 { bench.call(.port(of: .mountd), from: .from("10.1.4.\(number)")) }
        #expect(bench.denials.isEmpty && bench.kernel.granted.count == 40)
        // Three quarters are the limit of this node's own, however many copies there are.
        let other = Self.bench(settings: Self.settings.with { $0.limits.grants = 40 })
        for number in 0..<5 { offer(other, Self.offer(SharedGrant(ip("10.1.7.\(number)"), .mountd, .tcp))) }
        for number in 0..<40 { other.call(.port(of: .mountd), from: .from("10.1.4.\(number)")) }
        #expect(other.kernel.granted.count == 35)
        // What went leaves its place.
        other.reload([.sample(from: ["10.1.4.0/24"])])
        #expect(other.loop.warden.gate.ledger.copyCount == 0)
        other.call(.port(of: .mountd), from: .from("10.1.4.99", .tcp))
        #expect(other.loop.warden.gate.ledger.copyCount == 0 && other.kernel.granted.count == 31)
    }

    @Test("that found no room wait for some, and are opened then")
    func waitsForRoom() {
        let bench = Self.bench(settings: Self.settings.with { $0.limits.grants = 4 })
        for number in 0..<4 { bench.call(.port(of: .mountd), from: .from("10.1.3.\(number)", .tcp)) }
        offer(bench, Self.offer())
        #expect(bench.loop.warden.fleetGauges == FleetGauges(waiting: 1))
        for _ in 0..<10 { bench.advance(by: .seconds(10)) }
        #expect(bench.loop.warden.fleetGauges == FleetGauges(waiting: 1))
        bench.handle { warden, now, actions in
            _ = warden.revoke(client: ip("10.1.3.0"), port: nil, transport: nil, at: now, into: &actions)
        }
        for _ in 0..<4 { bench.advance(by: .seconds(10)) }
        #expect(bench.loop.warden.fleetGauges == FleetGauges(grants: 1))
        #expect(bench.kernel.granted[Self.key] != nil)
    }

    @Test("are no more than the pair may have, those that wait among them")
    func count() {
        let settings = Self.settings.with { $0.fleet?.pair?.grants = 3 }
        let bench = Self.bench([.sample(to: [.mountd, .nlockmgr])], settings: settings)
        for number in 0..<3 {
            let client = IPAddress.v4(0x0a01_0100 + UInt32(number))
            offer(
                bench, Self.offer(SharedGrant(client, .mountd, .tcp)), Self.offer(SharedGrant(client, .nlockmgr, .tcp)))
        }
        #expect(bench.loop.warden.fleetGauges == FleetGauges(grants: 2, waiting: 1))
    }

    // MARK: Told

    @Test("asked for over TCP is told at once; over UDP with its first packet, within a second")
    func told() {
        let bench = Self.bench()
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        #expect(bench.told.map(\.isUse) == [false, true])
        let other = Self.bench()
        other.call(.port(of: .mountd), from: .named)
        other.advance(by: .seconds(1))
        #expect(other.told.isEmpty)
        other.kernel.packet(Self.key)
        other.advance(by: .milliseconds(1050))
        #expect(other.told.map(\.isUse) == [false, true])
        #expect(other.sharedGrants(fromPlace: 0, count: 10).messages.count == 1)
        guard case .issued(Self.grant, let record)? = other.told.first else {
            Issue.record("\(other.told)")
            return
        }
        #expect(record.issued == Bench.startOfTime && record.keep == .seconds(86_400))
    }

    @Test("whose first packet comes after some time is told when its short life is over")
    func provenLate() {
        let bench = Self.bench()
        bench.call(.port(of: .mountd), from: .named)
        for second in 0..<125 {
            if second == 60 { bench.kernel.packet(Self.key) }
            bench.advance(by: .seconds(1))
        }
        #expect(bench.told.map(\.isUse) == [false, true])
    }

    @Test(
        "that calls over UDP alone opened are nobody else's: neither they nor their ends are told, forged as they may be"
    )
    func unproven() {
        let bench = Self.bench()
        func ask() {
            for number in 0..<50 {
                bench.call(.port(of: .mountd), from: .from("10.1.7.\(number)"), xid: UInt32(number))
            }
        }
        ask()
        #expect(bench.kernel.granted.count == 50)
        #expect(bench.sharedGrants(fromPlace: 0, count: 100).messages.isEmpty)
        for _ in 0..<150 { bench.advance(by: .seconds(1)) }
        #expect(bench.kernel.granted.isEmpty)
        ask()
        bench.rpcbind.registrations = RPCB.ownPlaces
        bench.refresh()
        bench.rpcbind.registrations = .typical
        bench.refresh()
        ask()
        bench.reload([.sample(from: ["10.1.2.4"])])
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.told.isEmpty)
        #expect(lingering(bench).isEmpty)
    }

    @Test("lives no longer at other nodes for a call over UDP than it does here", arguments: [true, false])
    func doubted(isCopy: Bool) {
        let bench = Self.bench()
        if isCopy {
            offer(bench, Self.offer(age: .seconds(86_400 - 30)))
        } else {
            bench.call(.port(of: .mountd), from: .named.over(.tcp))
            bench.advance(by: .seconds(86_400 - 30))
        }
        bench.forget()
        bench.call(.port(of: .mountd), from: .named, xid: 9)
        #expect(bench.kernel.granted[Self.key].map { $0.expires - bench.now } == .seconds(120))
        guard bench.told.count == 1, case .issued(Self.grant, let record)? = bench.told.first else {
            Issue.record("\(bench.told)")
            return
        }
        #expect(record.ends == bench.loop.warden.wallClock(at: bench.now) + .seconds(120))
        let (messages, _) = bench.sharedGrants(fromPlace: 0, count: 10)
        guard case .live(Self.grant, let live, isUsed: true)? = messages.first else {
            Issue.record("\(messages)")
            return
        }
        #expect(live.origin == nil && live.ends == record.ends)
    }

    @Test("takes nothing of what its client has of other nodes, if a call over UDP alone opened it")
    func unprovenTakesNothing() {
        let bench = Self.bench(registering: Self.versions)
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        bench.rpcbind.registrations = RPCB.ownPlaces + RPCB.everywhere(.mountd, 1, port: 30048)
        bench.refresh()
        #expect(lingering(bench).count == 1)
        bench.forget()
        bench.call(Self.firstVersion, from: .named, xid: 9)
        #expect(bench.kernel.granted.keys.map(\.service) == [ServicePort(.tcp, 30048)])
        for _ in 0..<130 { bench.advance(by: .seconds(1)) }
        #expect(bench.kernel.granted.isEmpty && bench.told.isEmpty)
        #expect(lingering(bench).count == 1)
    }

    @Test("used much later is told in time: the others' copies must not end")
    func usedLater() {
        let bench = Self.bench()
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        bench.forget()
        for _ in 0..<12 {
            bench.advance(by: .seconds(7200))
            bench.kernel.packet(Self.key)
        }
        let uses = bench.told.compactMap { message -> Timestamp? in
            guard case .used(Self.grant, let time) = message else { return nil }
            return time
        }
        #expect(uses.count >= 3)
        #expect(zip(uses, uses.dropFirst()).allSatisfy { $1.milliseconds - $0.milliseconds <= 8 * 3_600_000 })
    }

    @Test("whose service goes is told on until it would have ended: its client may go to the other node")
    func lingering() {
        let bench = Self.bench()
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        bench.forget()
        bench.rpcbind.registrations = RPCB.ownPlaces
        bench.refresh()
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.told.isEmpty)
        #expect(bench.sharedGrants(fromPlace: 1 << 32, count: 10).messages.count == 1)
        bench.advance(by: .seconds(86_400))
        #expect(bench.told == [.expired(Self.grant)])
        #expect(bench.sharedGrants(fromPlace: 1 << 32, count: 10).messages.isEmpty)
    }

    @Test("that expires is told as such")
    func expired() {
        let bench = Self.bench()
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        bench.forget()
        bench.advance(by: .seconds(86_401))
        bench.advance(by: .seconds(1))
        #expect(bench.told == [.expired(Self.grant)])
    }

    @Test("at two ports is over when the last of them is", arguments: [false, true])
    func twoPorts(leaves: Bool) {
        let bench = Self.bench(registering: Self.versions)
        bench.call(Self.firstVersion, from: .named.over(.tcp))
        bench.advance(by: .seconds(40_000))
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        #expect(bench.kernel.granted.count == 2)
        bench.forget()
        if leaves {
            bench.rpcbind.registrations = RPCB.ownPlaces + RPCB.everywhere(.mountd, 3, port: 20048)
            bench.refresh()
        } else {
            bench.advance(by: .seconds(46_500))
        }
        #expect(bench.kernel.granted.keys.map(\.service) == [Self.mountd])
        #expect(!bench.told.contains(.expired(Self.grant)))
        #expect(bench.sharedGrants(fromPlace: 1 << 32, count: 10).messages.isEmpty)
        bench.advance(by: .seconds(86_401))
        bench.advance(by: .seconds(1))
        #expect(bench.told.filter { $0 == .expired(Self.grant) }.count == 1)
    }

    /// Two versions of mountd at two ports.
    private static let versions =
        RPCB.ownPlaces + RPCB.everywhere(.mountd, 1, port: 30048) + RPCB.everywhere(.mountd, 3, port: 20048)
    private static let firstVersion = PortmapperCall.getPort(
        Mapping(program: .mountd, version: 1, protocolNumber: 6, port: 0))

    /// Two programs at one port.
    private static let atOnePort =
        RPCB.ownPlaces + RPCB.everywhere(.mountd, 3, port: 20048) + RPCB.everywhere(.nlockmgr, 4, port: 20048)
    private static let locks = SharedGrant(client, .nlockmgr, .tcp)

    /// What lingers.
    private func lingering(_ bench: Bench) -> [DaemonMessage] {
        bench.sharedGrants(fromPlace: 1 << 32, count: 10).messages
    }

    @Test("that policy ended is told again with everything: a reload may overtake the first telling. A copy isn't")
    func endedByPolicyIsRemembered() {
        let bench = Self.bench()
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        offer(bench, Self.offer(SharedGrant(ip("10.1.2.4"), .mountd, .tcp)))
        bench.reload([.sample(from: ["10.1.2.9"])])
        #expect(bench.kernel.granted.isEmpty)
        #expect(
            lingering(bench) == [
                .remembered(Self.grant, EndedRecord(at: bench.loop.warden.wallClock(at: bench.now), why: .policy))
            ])
    }

    @Test("at two ports isn't over for the fleet when a copy at one of them goes")
    func copyOfTwoPorts() {
        let bench = Self.bench(registering: Self.versions)
        offer(bench, Self.offer(age: .seconds(40_000)))
        #expect(bench.kernel.granted.count == 2)
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        bench.forget()
        bench.advance(by: .seconds(46_500))
        #expect(bench.kernel.granted.keys.map(\.service) == [Self.mountd])
        #expect(!bench.told.contains(.expired(Self.grant)))
        bench.advance(by: .seconds(40_000))
        #expect(bench.told.contains(.expired(Self.grant)))
    }

    @Test("at two ports is over for the fleet when this node's own goes, though a copy at the other one lives on")
    func ownOfTwoPorts() {
        let bench = Self.bench(registering: Self.versions)
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        bench.advance(by: .seconds(40_000))
        offer(bench, Self.offer(age: .zero, issued: Bench.startOfTime + .seconds(40_000)))
        #expect(bench.kernel.granted.count == 2)
        bench.forget()
        bench.advance(by: .seconds(46_500))
        #expect(bench.loop.warden.gate.grants.map(\.grant.isCopy) == [true])
        #expect(bench.told.contains(.expired(Self.grant)))
    }

    @Test("at two ports isn't ended for the fleet when a reload spares one of them")
    func sparedPort() {
        let bench = Self.bench(registering: Self.versions)
        bench.call(Self.firstVersion, from: .named.over(.tcp))
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        bench.forget()
        bench.reload([.sample()], settings: Self.settings.with { $0.firewall.never.insert(30048) })
        #expect(bench.kernel.granted.keys.map(\.service) == [Self.mountd])
        #expect(bench.told.isEmpty)
        bench.reload([.sample(from: ["10.1.2.4"])])
        #expect(bench.told == [Self.ended(.policy, bench)])
    }

    @Test("at two ports that go together is told on until the later of their ends")
    func twoPortsGo() {
        let bench = Self.bench(registering: Self.versions)
        bench.call(Self.firstVersion, from: .named.over(.tcp))
        bench.advance(by: .seconds(40_000))
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        bench.forget()
        bench.rpcbind.registrations = RPCB.ownPlaces
        bench.refresh()
        #expect(bench.kernel.granted.isEmpty && lingering(bench).count == 1)
        bench.advance(by: .seconds(80_000))
        #expect(bench.told.isEmpty)
        bench.advance(by: .seconds(7000))
        #expect(bench.told == [.expired(Self.grant)])
    }

    @Test("that an order leaves is told on, though an older one at another port ends")
    func orderedOneOfTwoPorts() {
        let bench = Self.bench(registering: Self.versions)
        bench.call(Self.firstVersion, from: .named.over(.tcp))
        bench.advance(by: .seconds(100))
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        bench.forget()
        bench.handle { warden, now, actions in
            _ = warden.revoke(
                client: Self.client, port: nil, transport: nil, order: Bench.startOfTime + .seconds(50), at: now,
                into: &actions)
        }
        #expect(bench.kernel.granted.keys.map(\.service) == [Self.mountd])
        #expect(bench.told.isEmpty)
    }

    @Test("of two programs at one port waits whole when their service goes; none of it is this node's own")
    func twoProgramsWait() {
        let bench = Self.bench([.sample(to: [.mountd, .nlockmgr])], registering: Self.atOnePort)
        offer(bench, Self.offer(age: .seconds(40_000)))
        offer(bench, Self.offer(Self.locks, age: .zero))
        bench.advance(by: .milliseconds(100))
        bench.rpcbind.registrations = RPCB.ownPlaces
        bench.refresh()
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.loop.warden.fleetGauges == FleetGauges(waiting: 2))
        #expect(lingering(bench).isEmpty)
    }

    @Test("that replaced another program's at the same port takes one place, and leaves it")
    func placesOfCopies() {
        let bench = Self.bench(
            [.sample(to: [.mountd, .nlockmgr])], settings: Self.settings.with { $0.fleet?.pair?.grants = 2 },
            registering: Self.atOnePort)
        let (second, third) = (SharedGrant(ip("10.1.2.4"), .mountd, .tcp), SharedGrant(ip("10.1.2.5"), .mountd, .tcp))
        offer(bench, Self.offer(age: .seconds(40_000)))
        offer(bench, Self.offer(Self.locks, age: .zero))
        bench.advance(by: .milliseconds(100))
        bench.handle { warden, now, actions in
            warden.copiesEnded([Self.locks, Self.grant], at: now, into: &actions)
            warden.flush(at: now, into: &actions)
        }
        #expect(bench.kernel.granted.isEmpty)
        offer(bench, Self.offer(second), Self.offer(third), Self.offer(issued: Bench.startOfTime + .seconds(60)))
        #expect(bench.loop.warden.fleetGauges == FleetGauges(grants: 2))
    }

    @Test("that the client's packet revives before its end is known stays another node's")
    func revivedUnseen() {
        let bench = Self.bench()
        offer(bench, Self.offer())
        bench.now = bench.now + .seconds(86_401)
        bench.kernel.advance(to: bench.now)
        bench.handle { warden, now, actions in
            warden.packetDropped(
                DroppedPacket(client: Self.client, clientPort: 700, service: Self.mountd, kind: .remembered), at: now,
                into: &actions)
            warden.flush(at: now, into: &actions)
        }
        #expect(bench.kernel.granted[Self.key]?.comment.hasSuffix("(from nas2)") == true)
        #expect(bench.loop.warden.gate[Self.key]?.isCopy == true)
        #expect(bench.loop.warden.sharing.copy(Self.key)?.origin == "nas2")
    }

    @Test("of one server that waits is revoked with that server's, not with another's")
    func revokedOfServer() throws {
        let bench = ServerTests.bench(settings: ServerTests.settings.with { $0.fleet = Self.settings.fleet })
        bench.dead = [ServicePort(.tcp, 20048, at: ServerTests.id)]
        let grant = SharedGrant(ip("10.1.0.8"), .mountd, .tcp, server: ServerTests.first)
        offer(bench, Self.offer(grant))
        bench.advance(by: .seconds(5))
        #expect(bench.loop.warden.fleetGauges == FleetGauges(waiting: 1))
        for server in [0, 1] {
            bench.handle { warden, now, actions in
                _ = warden.revoke(
                    client: ip("10.1.0.8"), port: nil, transport: nil, of: server, at: now, into: &actions)
            }
            #expect(bench.loop.warden.fleetGauges == FleetGauges(waiting: 1 - server))
        }
        bench.dead = []
        for _ in 0..<3 { bench.advance(by: .seconds(5)) }
        #expect(bench.loop.warden.fleetGauges == FleetGauges())
    }

    @Test("of a client that can't reach the server's address is nothing, and the table stays as it is")
    func otherFamily() {
        let bench = ServerTests.bench(settings: ServerTests.settings.with { $0.fleet = Self.settings.fleet })
        bench.kernel.committed = []
        offer(bench, Self.offer(SharedGrant(ip("10.1.0.8"), .mountd, .tcp, server: ip("fd91:2::2"))))
        for _ in 0..<40 { bench.advance(by: .milliseconds(50)) }
        #expect(bench.loop.warden.fleetGauges == FleetGauges())
        #expect(bench.kernel.granted.isEmpty && bench.kernel.committed.isEmpty)
    }

    @Test("is asked about no more often when the clock is set back")
    func clockSetBack() {
        let bench = Self.bench()
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        bench.handle { warden, now, _ in warden.wallClockRead(Bench.startOfTime + .seconds(-1_000_000), at: now) }
        bench.advance(by: .seconds(30_000))
        bench.forget()
        for _ in 0..<60 { bench.advance(by: .seconds(1)) }
        #expect(bench.inspected.count <= 1)
    }

    @Test("are all told page by page, with what was ended")
    func everything() {
        let bench = Self.bench()
        for number in 0..<50 { bench.call(.port(of: .mountd), from: .from("10.1.4.\(number)", .tcp)) }
        bench.handle { warden, now, actions in
            _ = warden.revoke(client: ip("10.1.4.7"), port: nil, transport: nil, at: now, into: &actions)
        }
        var place: Int? = 0
        var messages: [DaemonMessage] = []
        var pages = 0
        while let from = place {
            let page = bench.sharedGrants(fromPlace: from, count: 8)
            messages += page.messages
            place = page.next
            pages += 1
        }
        #expect(pages > 7)
        #expect(messages.count == 50)
        #expect(messages.count { if case .remembered = $0 { true } else { false } } == 1)
    }

    @Test("behind a gateway name the server, and open its port once it has answered")
    func gateway() {
        let settings = ServerTests.settings.with { $0.fleet = Self.settings.fleet }
        let bench = ServerTests.bench(settings: settings)
        let client = ip("10.1.0.7")
        let grant = SharedGrant(client, .mountd, .tcp, server: ServerTests.first)
        bench.call(.port(of: .mountd), from: ServerTests.client(asking: ServerTests.first, .tcp))
        guard case .issued(grant, _)? = bench.told.first else {
            Issue.record("\(bench.told)")
            return
        }
        let other = SharedGrant(ip("10.1.0.8"), .mountd, .tcp, server: ServerTests.second)
        offer(bench, Self.offer(other), Self.offer(SharedGrant(ip("10.1.0.8"), .mountd, .tcp, server: ip("10.9.9.9"))))
        bench.advance(by: .seconds(6))
        let keys = bench.kernel.granted.keys.filter { $0.client == ip("10.1.0.8") }
        #expect(keys.map(\.service) == [ServicePort(.tcp, 20048, at: ServerID(rawValue: 2))])
    }
}

extension DaemonMessage {
    fileprivate var isUse: Bool { if case .used = self { true } else { false } }
}
