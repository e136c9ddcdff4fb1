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

    @Test("shows in the times that are printed from then on, not in those that were", arguments: [day, .zero - day])
    func printed(step: Duration) {
        let bench = Self.stepped(by: step)
        #expect(bench.loop.warden.grant(Self.key)?.issued == Bench.startOfTime)
        bench.call(.port(of: .mountd), from: .from("10.1.2.4"), xid: 9)
        let other = bench.loop.warden.ledgerKeys.first { $0 != Self.key }
        let issued = other.flatMap { bench.loop.warden.grant($0)?.issued }
        #expect(issued == Bench.startOfTime + step + .seconds(40))
    }
}

extension Warden {
    fileprivate var ledgerKeys: [GrantKey] { gate.grants.map(\.key) }
}
