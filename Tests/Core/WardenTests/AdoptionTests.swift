import Clock
import Configuration
import CoreSamples
import Firewall
import ONCRPC
import Policy
import TestSupport
import Testing

@testable import Gate
@testable import Warden

@Suite("adoption") struct AdoptionTests {
    /// A kernel in the state that an earlier run with mountd and nfs left.
    static func left(_ settings: Settings = Settings()) -> Bench {
        let bench = Bench.started(rules, settings: settings)
        for client in 1...3 { bench.call(.port(of: .mountd), from: .from("10.1.2.\(client)", .tcp)) }
        bench.advance(by: .seconds(1000))
        return bench
    }

    static let rules = [Rule.sample(), .sample("nfs", from: ["10.1.0.0/16"], to: [.nfs], over: [.tcp], open: .always)]

    static func restarted(
        _ old: Bench, _ rules: [Rule] = rules, settings: Settings = Settings(), mayBeKept: Bool = false
    ) -> Bench {
        let bench = Bench(rules, settings: settings)
        bench.kernel = old.kernel
        bench.kernel.mayBeKept = mayBeKept
        bench.kernel.committed = []
        bench.rpcbind = old.rpcbind
        bench.now = old.now
        return bench
    }

    @Test(
        "a restart keeps guard, standing elements and grants as they are, with rpcbind not up yet, and after",
        arguments: [true, false])
    func unnoticed(mayBeKept: Bool) {
        let old = Self.left()
        let bench = Self.restarted(old, mayBeKept: mayBeKept)
        bench.rpcbind.isDown = true
        bench.start()
        bench.advance(by: .seconds(10))
        for _ in 0..<2 {
            #expect((bench.kernel.guarded, bench.kernel.standing) == (old.kernel.guarded, old.kernel.standing))
            #expect(bench.kernel.granted == old.kernel.granted)
            bench.rpcbind.isDown = false
            bench.advance(by: .seconds(1))
        }
        #expect(bench.cut == [])
        #expect(bench.events.map(\.kind) == [.rpcbindDown, .rpcbindUp])
        #expect(bench.isQuiet)
    }

    @Test("grants that may stay where they are are left there, whatever else is made anew")
    func stay() {
        let bench = Self.restarted(Self.left(), mayBeKept: true)
        bench.start()
        let first = bench.kernel.committed[0].operations
        #expect(first[0] == .adoptTable(Settings().tableShape))
        #expect(first.contains(.guardPort(.udp(20048))))
        #expect(!first.contains { if case .issue = $0 { true } else { false } })
        bench.kernel.flush()
        bench.handle { $0.tableChanged([.overrun], at: $1, into: &$2) }
        bench.advance(by: .seconds(1))
        #expect(bench.kernel.granted.count == 3, "later they are made anew like everything else")
        #expect(bench.isQuiet)
    }

    @Test("a table that can't be taken over as it is is made anew at once, and nobody is refused for that")
    func changedMeanwhile() {
        let old = Self.left()
        let bench = Self.restarted(old, mayBeKept: true)
        let refusal = CommitFailure(errno: 116, message: "Stale file handle", operation: 0)
        // The second transaction is like the first of any other start.
        bench.kernel.refusals = [refusal, refusal]
        bench.start()
        #expect(bench.kernel.committed.first?.operations[0] == .makeTable(Settings().tableShape))
        #expect(bench.kernel.granted == old.kernel.granted)
        #expect(bench.isQuiet)
    }

    @Test(
        "what an earlier run opened at a port that may never be opened now is not taken over", arguments: [true, false])
    func neverNow(mayBeKept: Bool) {
        let bench = Self.restarted(
            Self.left(), settings: Settings().with { $0.firewall.never.insert(20048) }, mayBeKept: mayBeKept)
        bench.rpcbind.isDown = true
        bench.start()
        #expect(bench.kernel.granted.keys.allSatisfy { $0.service.port != 20048 })
        #expect(bench.kernel.standing.allSatisfy { $0.service.port != 20048 })
        #expect(bench.loop.warden.isGuarding == true)
    }

    @Test("adopted grants expire when they would have", arguments: [true, false])
    func expires(mayBeKept: Bool) {
        let bench = Self.restarted(Self.left(), mayBeKept: mayBeKept)
        bench.start()
        bench.advance(by: .seconds(85_399))
        #expect(bench.loop.warden.grantCount == 3)
        bench.advance(by: .seconds(1))
        #expect((bench.loop.warden.grantCount, bench.events(.expired).count) == (0, 3))
    }

    @Test("an adopted grant that nothing permits any more goes once rpcbind has answered", arguments: [true, false])
    func baseless(mayBeKept: Bool) {
        let bench = Self.restarted(Self.left(), [.sample(from: ["10.1.2.1"])], mayBeKept: mayBeKept)
        bench.rpcbind.isDown = true
        bench.start()
        #expect(bench.kernel.granted.count == 3)
        bench.rpcbind.isDown = false
        bench.refresh()
        #expect(bench.kernel.granted.keys.map(\.client) == [ip("10.1.2.1")])
        #expect(bench.kernel.standing == [])
        #expect(bench.cut.count == 3)
    }

    @Test(
        "elements with a comment that we didn't write are not adopted",
        arguments: ["", "mine", "100005 since yesterday by me"])
    func foreign(comment: String) {
        let bench = Bench(Self.rules)
        bench.kernel.now = bench.now
        let add = Operation.issue(.mount, timeout: .seconds(9), expiresIn: nil, comment: comment)
        _ = bench.kernel.commit(Transaction(table: "rpcwarden", operations: [.makeTable(Settings().tableShape), add]))
        bench.rpcbind.registrations = .typical
        bench.kernel.mayBeKept = true
        bench.start()
        #expect(bench.kernel.granted.isEmpty)
    }

    @Test(
        "elements that would outlive the clock, which ends after 292 years, are adopted too",
        arguments: [291, 293, 584])
    func longLived(years: Int) {
        var warden = Warden(settings: Settings(), policy: Policy(), names: .wellKnown, trustedOwners: [])
        let time = Duration.seconds(years * 365 * 86_400)
        let note = GrantNote(program: .mountd, issued: Timestamp(milliseconds: 0), rule: "policy.yaml:3")
        let element = GrantElement(
            key: .mount, timeout: time, expiresIn: time, packets: 0, bytes: 0, comment: note.description)
        var contents = TableContents()
        contents.granted = [element]
        contents.remembered = [element]
        var now = Instant.zero + .seconds(1000)
        warden.tableFound(contents, at: now)
        var actions: [Action] = []
        for _ in 0..<3 {
            warden.timeAdvanced(to: now, into: &actions)
            now = now + .seconds(86_400)
        }
        #expect(warden.grantCount == 1)
    }

    @Test("a quarantine without an end, such as people add by hand, is adopted too")
    func endlessQuarantine() {
        var warden = Warden(settings: Settings(), policy: Policy(), names: .wellKnown, trustedOwners: [])
        var contents = TableContents()
        contents.quarantined[ip("192.0.2.9")] = .seconds(Int64.max)
        let now = Instant.zero + .seconds(1000)
        warden.tableFound(contents, at: now)
        var actions: [Action] = []
        warden.timeAdvanced(to: now, into: &actions)
        #expect(warden.release(client: ip("192.0.2.9"), at: now, into: &actions))
    }

    @Test("a lower limits.grants doesn't keep the daemon from starting", arguments: [true, false])
    func fewerGrants(mayBeKept: Bool) {
        let bench = Self.restarted(
            Self.left(), settings: Settings().with { $0.limits.grants = 2 }, mayBeKept: mayBeKept)
        bench.start()
        #expect(bench.loop.warden.isGuarding == true)
        #expect((bench.kernel.granted.count, bench.loop.warden.grantCount) == (2, 2))
    }

    @Test("a grant that the kernel won't take back is let go, the others stay")
    func unrestorable() {
        let bench = Self.restarted(Self.left())
        bench.kernel.refusals = [CommitFailure(errno: 23, message: "full", operation: 1 + 6 + 1)]
        bench.start()
        #expect(bench.loop.warden.isGuarding == true)
        #expect((bench.kernel.granted.count, bench.loop.warden.grantCount) == (2, 2))
        #expect(bench.events(.revoked).map(\.detail) == ["full"])
    }

    @Test("a never port of the new configuration is unguarded before rpcbind has answered")
    func never() {
        let bench = Self.restarted(Self.left(), settings: Settings().with { $0.firewall.never = [2049] })
        bench.rpcbind.isDown = true
        bench.start()
        #expect(bench.kernel.guarded == [.tcp(20048), .udp(20048), .tcp(662), .udp(662)])
    }
}
