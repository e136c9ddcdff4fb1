import Addresses
import Calls
import Clock
import Configuration
import CoreSamples
import Firewall
import Policy
import TestSupport
import Testing

@testable import Gate

/// Any host can send calls over UDP with any source address.
@Suite("a grant that was asked for over UDP") struct UnprovenGrantTests {
    private static let mountd = ServicePort.tcp(20048)
    private static let key = GrantKey("10.1.2.3", mountd)
    private static let short = Duration.seconds(120)
    private static let day = Duration.seconds(86_400)

    private static func asked(
        over transport: Transport = .udp, settings: Settings = Settings()
    ) -> Bench {
        let bench = Bench.started([.sample()], settings: settings)
        bench.call(.port(of: .mountd), from: .named.over(transport))
        bench.forget()
        return bench
    }

    private func left(_ bench: Bench, _ key: GrantKey = key) -> Duration? {
        bench.kernel.granted[key].map { $0.expires - bench.now }
    }

    @Test("ends after two minutes without a packet, is told as never used, and doesn't come back")
    func unused() {
        let bench = Self.asked()
        #expect(left(bench) == Self.short)
        bench.advance(by: Self.short - .seconds(1))
        #expect(bench.loop.warden.grantCount == 1)
        bench.advance(by: .seconds(2))
        #expect(bench.loop.warden.grantCount == 0 && bench.kernel.remembered.isEmpty)
        #expect(bench.events(.expired).map(\.detail) == ["asked for over UDP, and never used"])
        bench.handle {
            let packet = DroppedPacket(client: Self.key.client, clientPort: 7, service: Self.mountd, kind: .remembered)
            $0.packetDropped(packet, at: $1, into: &$2)
            $0.flush(at: $1, into: &$2)
        }
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.isQuiet)
    }

    @Test("is remembered when its service unregisters, for it may have been used; but takes no place of others")
    func unregistered() {
        let bench = Bench.started([.sample()], settings: Settings().with { $0.limits.grants = 4 })
        for client in ["10.1.2.1", "10.1.2.2"] { bench.call(.port(of: .mountd), from: .from(client, .tcp)) }
        bench.advance(by: Self.day + .seconds(1))
        bench.advance(by: .seconds(1))
        #expect(bench.kernel.remembered.count == 2)
        for client in ["10.1.2.3", "10.1.2.4", "10.1.2.5"] { bench.call(.port(of: .mountd), from: .from(client)) }
        #expect(bench.kernel.granted.count == 3)
        #expect(bench.loop.warden.guardToSave(at: bench.now)?.saved(at: nil).remembered.count == 3)
        bench.rpcbind.registrations = []
        bench.refresh()
        #expect(bench.kernel.granted.isEmpty)
        #expect(bench.kernel.remembered.count == 3)
        #expect(bench.kernel.remembered.keys.contains { $0.client == ip("10.1.2.1") })
    }

    @Test("its first packet makes it live as long as any other, and be remembered as any other")
    func used() {
        let bench = Self.asked()
        bench.advance(by: .seconds(5))
        bench.kernel.packet(Self.key)
        bench.advance(by: .seconds(3600))
        #expect(bench.loop.warden.grantCount == 1)
        bench.advance(by: Self.day)
        #expect(bench.loop.warden.grantCount == 0)
        #expect(bench.events(.expired).map(\.detail) == [nil])
        #expect(Set(bench.kernel.remembered.keys) == [Self.key])
    }

    @Test("asking over TCP lengthens it at once; asking over TCP first makes it as long as ever")
    func overTCP() {
        let bench = Self.asked()
        bench.call(.port(of: .mountd), from: .named.over(.tcp), xid: 8)
        #expect(left(bench) == Self.day)
        #expect(left(Self.asked(over: .tcp)) == Self.day)
        bench.advance(by: Self.day + .seconds(1))
        #expect(Set(bench.kernel.remembered.keys) == [Self.key])
    }

    @Test("asking over UDP again commits nothing for a minute, then one more life, and so on")
    func again() {
        let bench = Self.asked()
        var commits = 0
        for second in 1...600 {
            bench.advance(by: .seconds(1))
            bench.kernel.committed = []
            bench.call(.port(of: .mountd), from: .named, xid: UInt32(second))
            commits += bench.kernel.committed.count
            #expect(left(bench).map { $0 >= .seconds(60) && $0 <= Self.short } == true)
        }
        #expect((9...10).contains(commits), "\(commits)")
        #expect(bench.replies.count == 600)
        #expect(bench.isQuiet)
    }

    @Test(
        "asking over UDP never shortens what a packet or a call over TCP has lengthened, whenever it did",
        arguments: [1, 59, 61, 70, 119])
    func neverShortened(second: Int) {
        for packet in [true, false] {
            let bench = Self.asked()
            bench.advance(by: .seconds(second))
            if packet { bench.kernel.packet(Self.key) } else { bench.call(.port(of: .mountd), from: .named.over(.tcp)) }
            let end = bench.kernel.granted[Self.key]?.expires
            for step in 0..<300 {
                bench.advance(by: .seconds(1))
                bench.call(.port(of: .mountd), from: .named, xid: UInt32(100 + step))
                #expect(bench.kernel.granted[Self.key]?.expires == end)
            }
            #expect(bench.replies.count == (packet ? 300 : 301))
            #expect(bench.isQuiet)
        }
    }

    @Test("an old grant that was used, near its end, gets two more minutes by a call over UDP, and stays remembered")
    func oldGrant() {
        let bench = Self.asked(over: .tcp)
        bench.advance(by: Self.day - .seconds(30))
        bench.call(.port(of: .mountd), from: .named, xid: 9)
        #expect(left(bench) == Self.short)
        bench.advance(by: Self.short + .seconds(1))
        #expect(Set(bench.kernel.remembered.keys) == [Self.key])
    }

    @Test("a forged call for a client whose grant has expired doesn't cost it what its own packet brings back")
    func memoryStays() {
        let bench = Self.asked(over: .tcp)
        bench.advance(by: Self.day + .seconds(1))
        #expect(Set(bench.kernel.remembered.keys) == [Self.key])
        bench.call(.port(of: .mountd), from: .named, xid: 9)
        bench.advance(by: Self.short + .seconds(1))
        #expect(bench.kernel.granted.isEmpty && Set(bench.kernel.remembered.keys) == [Self.key])
    }

    @Test("a call over TCP that comes while the kernel works on the short one still gets the long one")
    func inFlight() {
        let bench = Bench.started([.sample()])
        bench.holdsCommits = true
        bench.call(.port(of: .mountd), from: .named)
        bench.call(.port(of: .mountd), from: .named.over(.tcp), xid: 8)
        bench.releaseCommits()
        #expect(bench.replies.count == 2)
        #expect(left(bench) == Self.day)
        #expect(bench.loop.warden.grantCount == 1 && bench.isQuiet)
        #expect(bench.loop.warden.gate.writer.grantsUnderWay(of: Self.key.client) == 0)
    }

    @Test("each call that waits until the kernel tells its life is answered, though they are of one client")
    func severalWait() {
        let bench = Self.asked()
        bench.advance(by: .seconds(61))
        bench.holdsCommits = true
        bench.call(.port(of: .mountd), from: .from("10.1.2.9", .tcp))
        for xid in UInt32(8)...10 { bench.call(.port(of: .mountd), from: .named, xid: xid) }
        #expect(bench.replies.isEmpty)
        bench.releaseCommits()
        #expect(bench.replies.map(\.reply.xid).sorted() == [7, 8, 9, 10])
        #expect(bench.isQuiet)
    }

    @Test("a table that is made anew keeps the short life short, and shortens no other")
    func tableRemade() {
        let bench = Self.asked()
        let other = Peer.from("10.1.2.4", .tcp)
        bench.call(.port(of: .mountd), from: other, xid: 9)
        bench.advance(by: .seconds(10))
        bench.kernel.flush()
        bench.holdsQuestions = true
        bench.call(.port(of: .mountd), from: other.over(.udp), xid: 10)
        bench.handle {
            $0.tableChanged(
                [.changed(.init(table: "rpcwarden", what: .tableDeleted, isOwn: false))], at: $1, into: &$2)
        }
        bench.holdsQuestions = false
        bench.answerAll()
        bench.advance(by: .seconds(1))
        #expect(left(bench).map { $0 <= .seconds(110) } == true)
        #expect(left(bench, GrantKey("10.1.2.4", Self.mountd)).map { $0 > .seconds(86_000) } == true)
    }

    @Test("shortens no other that is being restored in a table that is made anew")
    func whileTableIsRemade() {
        let bench = Self.asked(over: .tcp)
        bench.advance(by: .seconds(10))
        bench.kernel.flush()
        bench.holdsCommits = true
        bench.handle { $0.tableChanged([.overrun], at: $1, into: &$2) }
        bench.call(.port(of: .mountd), from: .named, xid: 9)
        bench.releaseCommits()
        #expect(bench.replies.count == 1)
        #expect(left(bench).map { $0 > .seconds(86_000) } == true)
    }

    @Test("a restart knows by the element which one it is")
    func adopted() {
        let before = Self.asked()
        let bench = Bench([.sample()])
        (bench.now, bench.kernel, bench.rpcbind) = (before.now, before.kernel, before.rpcbind)
        bench.start()
        #expect(left(bench) == Self.short)
        bench.advance(by: Self.short + .seconds(1))
        #expect(bench.loop.warden.grantCount == 0 && bench.kernel.remembered.isEmpty)
    }

    @Test("where a grant lives no longer anyway, or the administrator's rules renew it, it is like any other")
    func undoubted() {
        let brief = Settings().with { $0.firewall.keep = .seconds(90) }
        let bench = Self.asked(settings: brief)
        #expect(left(bench) == .seconds(90))
        bench.advance(by: .seconds(91))
        #expect(Set(bench.kernel.remembered.keys) == [Self.key])
        #expect(left(Self.asked(settings: Settings().with { $0.firewall.management = .sets })) == Self.day)
        let medium = Self.asked(settings: Settings().with { $0.firewall.keep = .seconds(150) })
        #expect(left(medium) == Self.short)
    }

    @Test("a keep that isn't much longer than the short life is given to who asks over TCP all the same")
    func mediumKeep() {
        let bench = Self.asked(settings: Settings().with { $0.firewall.keep = .seconds(150) })
        bench.call(.port(of: .mountd), from: .named.over(.tcp), xid: 8)
        #expect(left(bench) == .seconds(150))
    }

    @Test("forged calls leave a quarter of limits.grants to those who ask over TCP")
    func reserve() {
        let bench = Bench.started([.sample()], settings: Settings().with { $0.limits.grants = 40 })
        for client in 1...50 { bench.call(.port(of: .mountd), from: .from("10.1.3.\(client)"), xid: UInt32(client)) }
        #expect(bench.kernel.granted.count == 30)
        #expect(bench.denials == Array(repeating: .grantsFull, count: 20))
        for client in 1...11 { bench.call(.port(of: .mountd), from: .from("10.1.4.\(client)", .tcp)) }
        #expect(bench.kernel.granted.count == 40 && bench.denials.count == 21)
        // Two minutes later none of them is left.
        bench.advance(by: Self.short + .seconds(1))
        #expect(bench.loop.warden.grantCount == 10 && bench.kernel.remembered.isEmpty)
    }
}
