import Addresses
import Clock
import CoreSamples
import Firewall
import ONCRPC
import Policy
import TestSupport
import Testing

@testable import Gate

@Suite("operator") struct OperatorTests {
    @Test(
        "revokes a client's grants and their flows, and no one else's",
        arguments: [
            (nil, nil, 4), (20048, nil, 2), (nil, Transport.udp, 2), (20048, .tcp, 1), (99, nil, 0),
        ] as [(UInt16?, Transport?, Int)])
    func revoke(port: UInt16?, transport: Transport?, count: Int) {
        let bench = Bench.started([.sample(to: [.mountd, .nfs])])
        for client in ["10.1.2.3", "10.1.2.4"] {
            for program in [Program.mountd, .nfs] {
                for transport in Transport.allCases {
                    bench.call(.port(of: program, transport), from: .from(client), xid: .random(in: 0 ... .max))
                }
            }
        }
        bench.forget()
        var keys: [GrantKey] = []
        bench.handle {
            keys = $0.revoke(client: ip("10.1.2.3"), port: port, transport: transport, at: $1, into: &$2).grants
        }
        #expect(keys.count == count)
        #expect(bench.kernel.granted.count == 8 - count)
        #expect(bench.cut.count == count)
        #expect(bench.events(.revoked).map(\.detail) == Array(repeating: "by the operator", count: count))
        #expect(bench.isQuiet)
    }

    @Test("a client that asks again meanwhile gets a new grant, but its old flows are cut")
    func revokeRacingIssue() {
        let bench = Bench.started([.sample()])
        bench.call(.port(of: .mountd), from: .named)
        bench.forget()
        bench.kernel.refusals = [.broken, .broken]
        bench.handle { _ = $0.revoke(client: ip("10.1.2.3"), port: nil, transport: nil, at: $1, into: &$2) }
        // The grant is no longer fresh.
        bench.now = bench.now + .milliseconds(1)
        bench.reload([.sample()], settings: bench.loop.warden.settings.with { $0.firewall.keep = .seconds(172_801) })
        bench.call(.port(of: .mountd), from: .named)
        #expect(bench.replies.isEmpty)
        bench.advance(by: .milliseconds(250))
        #expect(bench.replies.map(\.reply.body) == [.mountPort])
        #expect(bench.cut == [.init(clients: range("10.1.2.3"), service: .tcp(20048))])
        #expect(
            bench.events.map(\.kind).filter { [.revoked, .granted, .renewed].contains($0) } == [.revoked, .granted])
        #expect(bench.loop.warden.grantCount == 1)
        #expect(bench.kernel.granted[.mount] != nil)
        #expect(bench.isQuiet)
    }

    @Test("a grant that expires while its revocation waits still has its flows cut, and leaves nothing behind")
    func expiredMeanwhile() {
        let bench = Bench.started([.sample()])
        bench.call(.port(of: .mountd), from: .named)
        bench.forget()
        bench.kernel.refusals = [.broken, .broken]
        bench.handle { _ = $0.revoke(client: ip("10.1.2.3"), port: nil, transport: nil, at: $1, into: &$2) }
        bench.handle { $0.grantsInspected([.mount], [:], at: $1, into: &$2) }
        bench.advance(by: .milliseconds(250))
        #expect(bench.cut == [.init(clients: range("10.1.2.3"), service: .tcp(20048))])
        #expect(bench.loop.warden.gate.causes.isEmpty)
        #expect(bench.isQuiet)
    }
}
