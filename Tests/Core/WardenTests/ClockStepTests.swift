import Clock
import Configuration
import CoreSamples
import Firewall
import TestSupport
import Testing

@testable import Warden

@Suite("a wall clock that is set") struct ClockStepTests {
    private static let key = GrantKey(client: ip("10.1.2.3"), service: .tcp(20048))
    private static let day: Duration = .seconds(86_400)

    /// A client holds a grant and looks up again; the clock is set in between.
    private static func stepped(by step: Duration) -> Bench {
        let bench = Bench.started([.sample()], settings: Settings().with { $0.firewall.keep = .seconds(100) })
        bench.call(.port(of: .mountd), from: .named)
        bench.handle { warden, now, _ in warden.wallClockRead(Bench.startOfTime + step, at: now) }
        bench.advance(by: .seconds(40))
        bench.call(.port(of: .mountd), from: .named, xid: 8)
        return bench
    }

    @Test(
        "changes no grant's life, neither in the kernel nor in the ledger",
        arguments: [.zero, day, .zero - day, day * 4000, .zero - day * 4000])
    func lifetimes(step: Duration) {
        let bench = Self.stepped(by: step)
        let straight = Self.stepped(by: .zero)
        #expect(bench.kernel.granted == straight.kernel.granted)
        #expect(bench.kernel.committed == straight.kernel.committed)
        #expect(
            bench.loop.warden.grant(Self.key)?.expiresNotBefore
                == straight.loop.warden.grant(Self.key)?.expiresNotBefore)
        bench.advance(by: .seconds(59))
        #expect(bench.events(.expired).isEmpty && bench.loop.warden.grantCount == 1)
        bench.advance(by: .seconds(2))
        #expect(bench.events(.expired).count == 1 && bench.loop.warden.grantCount == 0)
    }

    @Test(
        "shows in the times that are printed from then on, not in those that were, unless they are ahead",
        arguments: [day, .zero - day])
    func printed(step: Duration) {
        let bench = Self.stepped(by: step)
        // A time ahead of the clock was of a wrong one.
        #expect(bench.loop.warden.grant(Self.key)?.issued == Bench.startOfTime + min(step, .zero))
        bench.call(.port(of: .mountd), from: .from("10.1.2.4"), xid: 9)
        let other = bench.loop.warden.ledgerKeys.first { $0 != Self.key }
        let issued = other.flatMap { bench.loop.warden.grant($0)?.issued }
        #expect(issued == Bench.startOfTime + step + .seconds(40))
    }

    @Test("set back by decades, dates no grant before 1970: no record could tell it")
    func epoch() {
        let bench = Self.stepped(by: .zero)
        Self.set(bench, Timestamp(milliseconds: 5000))
        #expect(bench.loop.warden.grant(Self.key)?.issued == Timestamp(milliseconds: 0))
    }

    private static let hours = Duration.seconds(3 * 3600)

    private static func set(_ bench: Bench, _ time: Timestamp) {
        bench.handle { warden, now, _ in warden.wallClockRead(time, at: now) }
    }

    private static func order(_ bench: Bench, _ created: Timestamp) {
        bench.handle { warden, now, actions in
            _ = warden.revoke(
                client: key.client, port: nil, transport: nil, order: created, at: now, into: &actions)
        }
        bench.advance(by: .seconds(1))
    }

    @Test("an order ends what was issued, or is remembered, by a clock that was ahead, however late the order comes")
    func ordered() {
        for (isRemembered, late) in [(false, 10), (false, 4 * 3600), (true, 10), (true, 4 * 3600)] {
            let bench = Bench.started([.sample()])
            Self.set(bench, Bench.startOfTime + Self.hours)
            bench.call(.port(of: .mountd), from: .named.over(.tcp))
            if isRemembered {
                bench.rpcbind.registrations = []
                bench.refresh()
            }
            Self.set(bench, Bench.startOfTime + .seconds(1))
            bench.advance(by: .seconds(600 + late))
            Self.order(bench, Bench.startOfTime + .seconds(600))
            #expect(bench.kernel.granted.isEmpty && bench.kernel.remembered.isEmpty)
        }
    }

    @Test("an order spares what was issued since by the clock that was set back")
    func orderedBefore() {
        let bench = Bench.started([.sample()])
        Self.set(bench, Bench.startOfTime + Self.hours)
        bench.advance(by: .seconds(600))
        bench.call(.port(of: .mountd), from: .named.over(.tcp))
        Self.set(bench, Bench.startOfTime + .seconds(600))
        Self.order(bench, Bench.startOfTime + .seconds(500))
        #expect(bench.kernel.granted.count == 1)
    }
}

extension Warden {
    fileprivate var ledgerKeys: [GrantKey] { gate.grants.map(\.key) }
}
