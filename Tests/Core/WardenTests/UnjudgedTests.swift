import Addresses
import Calls
import Configuration
import CoreSamples
import Firewall
import Policy
import TestSupport
import Testing

@testable import Warden

@Suite("what an earlier run opened, while host names are not resolved yet") struct UnjudgedTests {
    private static let name = "ws.example"
    private static let client = "10.1.2.3"
    private static let mountd = ServicePort(.tcp, 20048)
    private static let key = GrantKey(client, mountd)

    private static func rules(open: Opening = .onLookup) -> [Rule] {
        var rule = Rule.sample(from: [], open: open)
        rule.from = [.host(name)]
        return [rule]
    }

    /// The kernel in the state that an earlier run left, in which the name was resolved.
    private static func earlier(_ rules: [Rule]) -> Bench {
        let bench = Bench.started(rules)
        bench.resolve(rules, [name: [ip(client)]])
        bench.call(.port(of: .mountd), from: Peer.from(client).over(.tcp))
        return bench
    }

    /// The next run, on the same kernel; no name is resolved yet.
    private static func restarted(_ rules: [Rule], after earlier: Bench) -> Bench {
        let bench = Bench(rules, pending: PendingRules(rules: rules))
        (bench.kernel, bench.rpcbind, bench.now) = (earlier.kernel, earlier.rpcbind, earlier.now)
        bench.start()
        bench.refresh()
        return bench
    }

    @Test("a grant stays; it is judged once the name has an address: kept, if it is the client's")
    func grantStays() {
        let rules = Self.rules()
        let bench = Self.restarted(rules, after: Self.earlier(rules))
        #expect(bench.loop.warden.registry != nil)
        #expect(bench.kernel.granted[Self.key] != nil && bench.events(.revoked).isEmpty)
        // Another name is resolved, this one is not.
        bench.resolve(rules, [:])
        #expect(bench.kernel.granted[Self.key] != nil && bench.events(.revoked).isEmpty)
        bench.resolve(rules, [Self.name: [ip(Self.client)]])
        bench.refresh()
        #expect(bench.kernel.granted[Self.key] != nil && bench.events(.revoked).isEmpty)
    }

    @Test("and revoked, if it is another's")
    func grantRevoked() {
        let rules = Self.rules()
        let bench = Self.restarted(rules, after: Self.earlier(rules))
        bench.resolve(rules, [Self.name: [ip("10.1.2.4")]])
        #expect(bench.kernel.granted[Self.key] == nil)
        #expect(bench.events(.revoked).map(\.detail) == ["no longer permitted"])
    }

    @Test("a grant that was judged is spared no more when names without addresses come again")
    func judgedOnce() {
        let rules = Self.rules()
        let bench = Self.restarted(rules, after: Self.earlier(rules))
        bench.resolve(rules, [Self.name: [ip(Self.client)]])
        #expect(bench.kernel.granted[Self.key] != nil)
        var others = rules
        others[0].from = [.host("other.example")]
        bench.resolve(others, [:])
        #expect(bench.kernel.granted[Self.key] == nil)
        #expect(bench.events(.revoked).map(\.detail) == ["no longer permitted"])
    }

    @Test("a grant that no such rule could permit is revoked at once")
    func othersRevoked() {
        let rules = Self.rules()
        let earlier = Self.earlier(rules)
        var other = rules
        other[0].to = [.nfs]
        let bench = Self.restarted(other, after: earlier)
        #expect(bench.kernel.granted[Self.key] == nil)
    }

    @Test("what was granted in this run isn't spared: a reload to names without addresses is in force at once")
    func ownRevoked() {
        let bench = Bench.started([Rule.sample()])
        bench.call(.port(of: .mountd), from: .from(Self.client))
        #expect(bench.kernel.granted[Self.key] != nil)
        bench.resolve(Self.rules(), [:])
        #expect(bench.kernel.granted[Self.key] == nil)
    }

    @Test("a guard is made of the first snapshot, whatever the names do")
    func guarded() {
        let rules = Self.rules()
        let bench = Bench(rules, pending: PendingRules(rules: rules))
        bench.rpcbind.registrations = .typical
        bench.start()
        #expect(bench.kernel.guarded.contains(Self.mountd))
    }

    @Test("standing openings stay, as far as names can account for them")
    func standing() {
        let rules = Self.rules(open: .always)
        let earlier = Self.earlier(rules)
        let standing = earlier.kernel.standing
        #expect(standing.contains(StandingKey(Self.client, Self.mountd)))
        let bench = Self.restarted(rules, after: earlier)
        #expect(bench.kernel.standing == standing)
        #expect(bench.cut.isEmpty)
        bench.resolve(rules, [Self.name: [ip(Self.client), ip("10.1.2.9")]])
        #expect(bench.kernel.standing == standing.union(Self.standing(of: "10.1.2.9", standing)))
        bench.resolve(rules, [Self.name: [ip("10.1.2.9")]])
        #expect(bench.kernel.standing == Self.standing(of: "10.1.2.9", standing))
        #expect(bench.cut.contains { $0.clients == range(Self.client) })
    }

    private static func standing(of client: String, _ like: Set<StandingKey>) -> Set<StandingKey> {
        Set(like.map { StandingKey(client, $0.service) })
    }

    @Test("a prefix that stood is no name's, and goes at once")
    func prefixGoes() {
        let earlier = Bench.started([Rule.sample(open: .always)])
        #expect(!earlier.kernel.standing.isEmpty)
        let bench = Self.restarted(Self.rules(open: .always), after: earlier)
        #expect(bench.kernel.standing.isEmpty)
    }

    @Test("of neighbouring addresses one that has its answer and one that hasn't stand as one range")
    func neighbours() {
        var rule = Rule.sample(from: [], open: .always)
        rule.from = [.host("a.example"), .host("b.example")]
        let earlier = Bench.started([rule])
        earlier.resolve([rule], ["a.example": [ip("10.1.2.3")], "b.example": [ip("10.1.2.4")]])
        let standing = earlier.kernel.standing
        #expect(
            standing.contains(StandingKey(clients: AddressRange(ip("10.1.2.3"), ip("10.1.2.4")), service: Self.mountd)))
        let bench = Self.restarted([rule], after: earlier)
        bench.resolve([rule], ["a.example": [ip("10.1.2.3")]])
        #expect(bench.kernel.standing == standing)
    }

    @Test("what is remembered is not forgotten, and comes back once the name has its address")
    func memory() {
        let rules = Self.rules()
        let earlier = Self.earlier(rules)
        earlier.advance(by: Settings().firewall.keep + .seconds(1))
        earlier.advance(by: .seconds(1))
        #expect(earlier.kernel.granted[Self.key] == nil && earlier.kernel.remembered[Self.key] != nil)
        let bench = Self.restarted(rules, after: earlier)
        bench.resolve(rules, [:])
        #expect(bench.kernel.remembered[Self.key] != nil)
        bench.resolve(rules, [Self.name: [ip(Self.client)]])
        let packet = DroppedPacket(client: ip(Self.client), clientPort: 700, service: Self.mountd, kind: .remembered)
        bench.handle { warden, now, actions in
            warden.packetDropped(packet, at: now, into: &actions)
            warden.flush(at: now, into: &actions)
        }
        #expect(bench.kernel.granted[Self.key] != nil)
    }

    @Test("an operator's revocation ends the sparing")
    func revoked() {
        let rules = Self.rules()
        let bench = Self.restarted(rules, after: Self.earlier(rules))
        bench.handle { _ = $0.revoke(client: ip(Self.client), port: nil, transport: nil, at: $1, into: &$2) }
        #expect(bench.kernel.granted[Self.key] == nil)
        bench.handle { warden, _, _ in
            let mayHold = warden.mayHold(.mountd, Self.key)
            #expect(!mayHold)
        }
    }
}

extension Bench {
    /// The names resolve to these addresses now.
    fileprivate func resolve(_ rules: [Rule], _ addresses: [String: HostAddresses]) {
        handle {
            $0.policyReplaced(
                PolicySet(rules: rules, addresses: addresses), settings: $0.settings, at: $1, into: &$2)
        }
        if !holdsQuestions { answerAll() }
    }
}
