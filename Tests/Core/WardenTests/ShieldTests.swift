import Calls
import Configuration
import CoreSamples
import Firewall
import ONCRPC
import Policy
import Portmapper
import TestSupport
import Testing

@testable import Watch

@Suite("shield") struct ShieldTests {
    private static func flooded(
        _ count: Int, _ settings: Settings = Settings(), from peer: (Int) -> Peer = { .forged($0) }
    ) -> Bench {
        let bench = Bench.started([.sample()], settings: settings.with { $0.limits.strangersPerSecond = 100 })
        for number in 0..<count { bench.call(.dump(.v2), from: peer(number)) }
        return bench
    }

    @Test("goes up when there are too many strangers in a second, with whom policy names let through first")
    func goesUp() {
        #expect(Self.flooded(100).kernel.shielded.isEmpty)
        let bench = Self.flooded(101)
        #expect(bench.kernel.shielded.keys.map { $0 } == [.udp])
        let named: Set<StandingKey> = [
            StandingKey("10.1.0.0/16", .udp(111)), StandingKey("2001:db8:1::/48", .udp(111)),
        ]
        #expect(bench.kernel.standing == named)
        #expect(bench.events(.shielded).count == 1 && bench.events(.shielded).first?.transport == .udp)
        // While the shield is up, further denials change nothing; afterwards the rate is measured again.
        for number in 0..<300 { bench.call(.dump(.v2), from: .forged(number)) }
        #expect(bench.events(.shielded).count == 1)
        bench.advance(by: StrangerShield.duration)
        #expect(bench.kernel.shielded.isEmpty)
        for number in 0..<101 { bench.call(.dump(.v2), from: .forged(number)) }
        #expect(bench.events(.shielded).count == 2 && !bench.kernel.shielded.isEmpty)
    }

    @Test("is told to be over once the last transport's time is up, once, and never while one is up")
    func ends() {
        let bench = Self.flooded(101)
        #expect(bench.kernel.isShieldUp)
        bench.advance(by: StrangerShield.duration - .seconds(1))
        for number in 0..<101 {
            var peer = Peer.forged(number).over(.tcp)
            peer.channel = UInt64(number + 10)
            bench.handle { $0.connectionOpened(peer, at: $1, into: &$2) }
        }
        bench.advance(by: .seconds(2))
        #expect(bench.kernel.shielded.keys.map { $0 } == [.tcp] && bench.kernel.isShieldUp)
        bench.advance(by: StrangerShield.duration)
        #expect(!bench.kernel.isShieldUp)
        bench.advance(by: .seconds(60))
        #expect(bench.kernel.committed.count { $0.operations.contains(.unshield) } == 1)
        for number in 0..<101 { bench.call(.dump(.v2), from: .forged(number)) }
        #expect(bench.kernel.isShieldUp)
    }

    @Test("whom it lets through is in force before it goes up, at a table that is made anew too")
    func order() {
        let bench = Self.flooded(101)
        func steps() -> [Int] {
            bench.kernel.committed.map { transaction in
                transaction.operations.reduce(0) { step, operation in
                    switch operation {
                    case .addStanding: step | 1
                    case .shield: step | 2
                    default: step
                    }
                }
            }.filter { $0 != 0 }
        }
        #expect(steps() == [1, 2])
        bench.forget()
        bench.kernel.flush()
        bench.handle { $0.tableChanged([.overrun], at: $1, into: &$2) }
        bench.advance(by: .seconds(1))
        #expect(steps() == [1, 2])
    }

    @Test("before rpcbind has answered, ranges of an earlier policy at port 111 don't stay beside the new ones")
    func withoutRegistry() {
        let old = Self.flooded(101)
        let bench = Bench(
            [.sample(from: ["10.1.0.0/17"])], settings: Settings().with { $0.limits.strangersPerSecond = 100 })
        (bench.kernel, bench.now) = (old.kernel, old.now)
        bench.rpcbind.isDown = true
        bench.start()
        #expect(bench.kernel.standing == [])
        for number in 0..<101 { bench.call(.dump(.v2), from: .forged(number)) }
        #expect(bench.kernel.standing == [StandingKey("10.1.0.0/17", .udp(111))])
        bench.reload([.sample(from: ["10.1.0.0/18", "10.7.0.0/16"])])
        #expect(
            bench.kernel.standing == [
                StandingKey("10.1.0.0/18", .udp(111)), StandingKey("10.7.0.0/16", .udp(111)),
            ])
    }

    @Test("connections have a count of their own")
    func connections() {
        let bench = Self.flooded(60)
        for number in 0..<101 {
            var peer = Peer.forged(number).over(.tcp)
            peer.channel = UInt64(number + 10)
            bench.handle { $0.connectionOpened(peer, at: $1, into: &$2) }
        }
        #expect(bench.kernel.shielded.keys.map { $0 } == [.tcp])
    }

    @Test("named clients and this host don't count, nor do strangers spread over time")
    func spared() {
        #expect(Self.flooded(500, from: { _ in .named }).kernel.shielded.isEmpty)
        #expect(Self.flooded(500, from: { _ in .loopback }).kernel.shielded.isEmpty)
        let bench = Self.flooded(0)
        for number in 0..<300 {
            bench.call(.dump(.v2), from: .forged(number))
            bench.advance(by: .milliseconds(11))
        }
        #expect(bench.kernel.shielded.isEmpty)
    }

    @Test("stays down where strangers are answered, nothing is dropped, or the rules are the administrator's")
    func off() {
        let settings: [Settings] = [
            .observing, Settings().with { $0.denial.strangers = .authError },
            Settings().with { $0.firewall.management = .sets },
        ]
        for settings in settings { #expect(Self.flooded(300, settings).kernel.shielded.isEmpty) }
        let bench = Bench.started([.sample()], settings: Settings().with { $0.limits.strangersPerSecond = 0 })
        for number in 0..<5000 { bench.call(.dump(.v2), from: .forged(number)) }
        #expect(bench.kernel.shielded.isEmpty)
    }

    @Test("a new policy changes whom it lets through; a table that is made anew has it again")
    func follows() {
        let bench = Self.flooded(101)
        bench.reload([.sample(from: ["10.9.0.0/16"], to: [.unheardOf])])
        #expect(bench.kernel.standing == [StandingKey("10.9.0.0/16", .udp(111))])
        let end = bench.kernel.shielded
        bench.advance(by: .seconds(5))
        bench.kernel.flush()
        bench.handle { $0.tableChanged([.overrun], at: $1, into: &$2) }
        bench.advance(by: .seconds(1))
        #expect(bench.kernel.shielded == end && !end.isEmpty)
        #expect(bench.kernel.standing == [StandingKey("10.9.0.0/16", .udp(111))])
    }

    @Test("what the kernel drops is counted, and what it doesn't tell is summed up")
    func counted() {
        let bench = Self.flooded(101)
        let call = IncomingCall.bytes(of: .port(of: .nfs), xid: 77)
        bench.forget()
        for _ in 0..<3 {
            var packet = DroppedPacket(client: ip("203.0.113.5"), clientPort: 700, service: .udp(111), kind: .stranger)
            packet.payload = call
            bench.handle { $0.packetDropped(packet, at: $1, into: &$2) }
        }
        var cut = DroppedPacket(client: ip("203.0.113.6"), clientPort: 700, service: .udp(111), kind: .stranger)
        cut.payload = Array(call.prefix(30))
        bench.handle { $0.packetDropped(cut, at: $1, into: &$2) }
        let connection = DroppedPacket(
            client: ip("203.0.113.7"), clientPort: 700, service: .tcp(111), kind: .stranger)
        bench.handle { $0.packetDropped(connection, at: $1, into: &$2) }
        let events = bench.events(.denied)
        #expect(events.count == 5 && bench.events(.probed).isEmpty)
        #expect(events.first?.program == .nfs && events.first?.xid == 77 && events.first?.procedure == "getport")
        #expect(events.allSatisfy { $0.reason == .stranger && $0.detail == "dropped by the kernel" })
        #expect(
            bench.loop.warden.watch.denialEntries(since: .zero).contains {
                $0.client == ip("203.0.113.5") && $0.count == 3
            })

        let before = bench.loop.warden.counters.denied[.stranger] ?? 0
        #expect(bench.loop.warden.watch.isShielded(at: bench.now) == true)
        bench.handle { warden, now, _ in warden.strangersDropped(total: 1000, at: now) }
        #expect(bench.loop.warden.counters.denied[.stranger] == before + 1000)
        // The table was made again meanwhile.
        bench.handle { warden, now, _ in warden.strangersDropped(total: 10, at: now) }
        #expect(bench.loop.warden.counters.denied[.stranger] == before + 1010)
        bench.handle { warden, now, _ in warden.strangersDropped(total: 10, at: now) }
        bench.advance(by: .seconds(40))
        #expect(bench.events(.suppressed).map(\.count) == [1005])
        #expect(bench.loop.warden.watch.isShielded(at: bench.now) == false)
    }

    @Test("connections of named clients and of this host don't raise it")
    func knownConnections() {
        let bench = Self.flooded(0)
        for number in 0..<300 {
            for client in [Peer.from("10.1.2.\(number % 250)", .tcp), .loopback.over(.tcp)] {
                var peer = client
                peer.channel = UInt64(2 * number + (client.isLocal ? 1 : 0))
                bench.handle { $0.connectionOpened(peer, at: $1, into: &$2) }
            }
        }
        #expect(bench.kernel.shielded.isEmpty)
    }

    @Test("what the kernel drops is counted from zero in a table that is made anew, however much it is by then")
    func countedAnew() {
        let bench = Self.flooded(101)
        func read(_ total: UInt64) -> Int {
            let before = bench.loop.warden.counters.denied[.stranger] ?? 0
            bench.handle { warden, now, _ in warden.strangersDropped(total: total, at: now) }
            return (bench.loop.warden.counters.denied[.stranger] ?? 0) - before
        }
        #expect(read(1000) == 1000)
        bench.kernel.flush()
        bench.handle { $0.tableChanged([.overrun], at: $1, into: &$2) }
        bench.advance(by: .seconds(1))
        #expect(read(1500) == 1500)
    }

    @Test("a dropped packet is counted once, though it is reported after it was counted")
    func reportedLate() {
        let bench = Self.flooded(101)
        let call = IncomingCall.bytes(of: .port(of: .nfs), xid: 77)
        let report = { (count: Int) in
            for _ in 0..<count {
                var packet = DroppedPacket(
                    client: ip("203.0.113.5"), clientPort: 700, service: .udp(111), kind: .stranger)
                packet.payload = call
                bench.handle { $0.packetDropped(packet, at: $1, into: &$2) }
            }
        }
        let read = { (total: UInt64) in
            bench.handle { warden, now, _ in warden.strangersDropped(total: total, at: now) }
        }
        bench.advance(by: .seconds(20))
        bench.forget()
        read(10)
        report(4)
        read(12)
        // All but one of these are of the packets of the next reading.
        report(3)
        read(15)
        read(15)
        bench.advance(by: .seconds(20))
        let suppressed = bench.events(.suppressed).filter { $0.detail == "denied" }.compactMap(\.count)
        #expect(suppressed.reduce(0, +) == 8 && bench.events(.denied).count == 7)
    }

    @Test("is made of the policy's ranges, exceptions left out")
    func named() {
        let policy = Policy(rules: [
            .sample(from: ["10.0.0.0/31", "2001:db8::/127"], except: ["10.0.0.1/32"]), .sample(from: ["10.0.0.4/32"]),
        ])
        #expect(policy.named.map { "\($0)" } == ["10.0.0.0", "10.0.0.4", "2001:db8::-2001:db8::1"])
    }

    @Test("malformed datagrams of strangers raise it as others do; those of named clients don't")
    func malformed() {
        func flooded(_ peer: (Int) -> Peer) -> Bench {
            let bench = Self.flooded(0)
            for number in 0..<101 {
                bench.deliver(IncomingCall(bytes: MalformedTests.call(procedure: 0, rpc: 3), from: peer(number)))
            }
            return bench
        }
        #expect(flooded { .forged($0) }.kernel.shielded.keys.map { $0 } == [.udp])
        #expect(flooded { .from("10.1.2.\($0)") }.kernel.shielded.isEmpty)
    }
}

extension Peer {
    /// A peer with an unassigned address.
    static func forged(_ number: Int) -> Peer { stranger("198.18.\(number / 256 % 256).\(number % 256)") }
}

extension IncomingCall {
    static func bytes(of call: PortmapperCall, xid: UInt32) -> [UInt8] { call.encoded(xid: xid) }
}
