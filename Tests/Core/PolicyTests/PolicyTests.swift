import Addresses
import Policy
import Testing

@Suite("policy") struct PolicyTests {
    private static let somewhere = [
        "0.0.0.0", "0.0.0.1", "10.0.0.1", "127.0.0.1", "255.255.255.255", "::", "::1", "2001:db8::1",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ]

    @Test("without rules everyone is a stranger", arguments: somewhere)
    func empty(client: String) {
        let policy = Policy()
        #expect(policy.lookup(.nfs, over: .tcp, by: address(client)) == .stranger)
        #expect(policy.lookup(.portmapper, over: .udp, by: address(client)) == .stranger)
        #expect(policy.listing(by: address(client)) == .stranger)
        #expect(!policy.lists(.nfs, over: .tcp, for: address(client)))
        #expect(!policy.lists(address(client)))
        #expect(policy.rules(naming: address(client)) == [])
        #expect(policy.standing(.nfs, over: .tcp) == [])
    }

    @Test("a rule that names nobody, or permits nothing, permits nothing")
    func vacuous() {
        let nobody = Policy(rules: [rule(from: [], open: .always)])
        let nothing = Policy(rules: [rule(from: ["10.0.0.0/8"], to: [], lists: true, open: .always)])
        let overNothing = Policy(rules: [rule(from: ["10.0.0.0/8"], over: [], open: .always)])
        #expect(nobody.lookup(.nfs, over: .tcp, by: address("10.0.0.1")) == .stranger)
        for policy in [nothing, overNothing] {
            #expect(policy.lists(address("10.0.0.1")))
            #expect(policy.lookup(.nfs, over: .tcp, by: address("10.0.0.1")) == .noRule)
            #expect(policy.standing(.nfs, over: .tcp) == [])
        }
        #expect(nothing.listing(by: address("10.0.0.1")) == .permitted(rule: 0))
        #expect(!nothing.lists(.nfs, over: .tcp, for: address("10.0.0.1")))
    }

    @Test(
        "a prefix ends where it ends",
        arguments: [
            (
                "10.20.0.0/16", ["10.19.255.255", "10.21.0.0", "::a14:1"],
                ["10.20.0.0", "10.20.255.255", "::ffff:10.20.0.1"]
            ),
            ("10.0.0.7/32", ["10.0.0.6", "10.0.0.8"], ["10.0.0.7"]),
            ("255.255.255.255/32", ["255.255.255.254", "0.0.0.0", "::"], ["255.255.255.255"]),
            ("0.0.0.0/32", ["0.0.0.1", "255.255.255.255", "::"], ["0.0.0.0"]),
            ("0.0.0.0/0", ["::", "::1", "ffff::"], ["0.0.0.0", "10.0.0.1", "255.255.255.255", "::ffff:1.2.3.4"]),
            ("128.0.0.0/1", ["127.255.255.255", "0.0.0.0"], ["128.0.0.0", "255.255.255.255"]),
            ("::/0", ["0.0.0.0", "255.255.255.255"], ["::", "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]),
            (
                "2001:db8:20::/48", ["2001:db8:1f:ffff:ffff:ffff:ffff:ffff", "2001:db8:21::"],
                ["2001:db8:20::", "2001:db8:20:ffff::1"]
            ),
            ("2001:db8::7/128", ["2001:db8::6", "2001:db8::8"], ["2001:db8::7"]),
            (
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
                ["ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", "::", "255.255.255.255"],
                ["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]
            ),
        ])
    func prefixEnds(prefix: String, outside: [String], inside: [String]) {
        let policy = Policy(rules: [rule(from: [prefix])])
        #expect(decisions(policy, outside).allSatisfy { $0 == .stranger })
        #expect(decisions(policy, inside).allSatisfy { $0 == .permitted(rule: 0, open: .onLookup) })
        #expect(outside.allSatisfy { !policy.lists(address($0)) })
        #expect(inside.allSatisfy { policy.rules(naming: address($0)) == [0] })
    }

    @Test("says why it denies: a stranger, no rule for the program, another transport")
    func reasons() {
        let policy = Policy(rules: [rule(from: ["10.0.0.0/8"], to: [.nfs], over: [.tcp])])
        let client = address("10.0.0.1")
        #expect(policy.lookup(.nfs, over: .tcp, by: address("11.0.0.1")) == .stranger)
        #expect(policy.lookup(.mountd, over: .tcp, by: client) == .noRule)
        #expect(policy.lookup(.nfs, over: .udp, by: client) == .transport)
        #expect(policy.lookup(.nfs, over: .tcp, by: client) == .permitted(rule: 0, open: .onLookup))
    }

    @Test("an exception takes addresses out of its own rule only")
    func except() {
        let policy = Policy(rules: [
            rule(from: ["10.0.0.0/8"], except: ["10.9.0.0/16", "10.0.0.5"], to: [.nfs]),
            rule(from: ["10.9.9.0/24"], to: [.mountd]),
        ])
        let permitted = LookupDecision.permitted(rule: 0, open: .onLookup)
        #expect(
            decisions(policy, ["10.9.0.0", "10.9.255.255", "10.0.0.5", "9.255.255.255"]).allSatisfy { $0 == .stranger })
        #expect(
            decisions(policy, ["10.8.255.255", "10.10.0.0", "10.0.0.4", "10.0.0.6"]).allSatisfy { $0 == permitted })
        #expect(policy.lookup(.nfs, over: .tcp, by: address("10.9.9.1")) == .noRule)
        #expect(policy.lookup(.mountd, over: .tcp, by: address("10.9.9.1")) == .permitted(rule: 1, open: .onLookup))
    }

    @Test(
        "an exception that covers the rule leaves nobody",
        arguments: [
            (["10.0.0.0/8"], ["10.0.0.0/8"]), (["10.0.0.0/8"], ["0.0.0.0/0"]),
            (["10.0.0.0/8"], ["10.0.0.0/9", "10.128.0.0/9"]),
            (["0.0.0.0/0"], ["0.0.0.0/1", "128.0.0.0/1"]), (["::/0"], ["::/0"]),
            (["10.0.0.1", "10.0.0.1"], ["10.0.0.1"]),
        ])
    func exceptAll(from: [String], except: [String]) {
        let policy = Policy(rules: [rule(from: from, except: except, open: .always)])
        #expect(decisions(policy, Self.somewhere + ["10.255.255.255"]).allSatisfy { $0 == .stranger })
        #expect(policy.standing(.nfs, over: .tcp) == [])
    }

    @Test("an exception doubled or nested ends only where its outermost ends")
    func nestedExceptions() {
        let policy = Policy(rules: [rule(from: ["10.0.0.0/8"], except: ["10.1.0.0/16", "10.1.1.0/24", "10.1.1.0/24"])])
        #expect(decisions(policy, ["10.1.0.0", "10.1.1.0", "10.1.2.0", "10.1.255.255"]).allSatisfy { $0 == .stranger })
        #expect(decisions(policy, ["10.0.255.255", "10.2.0.0"]).allSatisfy { $0 != .stranger })
    }

    @Test("a client named doubly by one rule is named once, and until the outermost prefix ends")
    func nestedPrefixes() {
        let policy = Policy(rules: [rule(from: ["10.0.0.0/8", "10.1.0.0/16", "10.1.0.0/16", "10.1.1.1"])])
        #expect(policy.rules(naming: address("10.1.1.1")) == [0])
        #expect(
            decisions(policy, ["10.0.0.0", "10.1.1.1", "10.1.1.2", "10.2.0.0", "10.255.255.255"]).allSatisfy {
                $0 != .stranger
            })
        #expect(decisions(policy, ["11.0.0.0"]) == [.stranger])
    }

    @Test(
        "the rule that opens most counts, then the first",
        arguments: [
            ([.never, .onLookup, .always], 2, .always), ([.always, .onLookup, .never], 0, .always),
            ([.onLookup, .onLookup], 0, .onLookup), ([.never, .never], 0, .never),
            ([.never, .onLookup, .onLookup], 1, .onLookup),
            ([.onLookup, .always, .always], 1, .always), ([.never], 0, .never),
        ] as [([Opening], Int, Opening)])
    func strongest(openings: [Opening], winner: Int, open: Opening) {
        let policy = Policy(rules: openings.map { rule(from: ["10.0.0.0/8"], open: $0) })
        #expect(decisions(policy, ["10.0.0.1"]) == [.permitted(rule: winner, open: open)])
        #expect(policy.rules(naming: address("10.0.0.1")) == Array(openings.indices))
        #expect(policy.standing(.nfs, over: .tcp).isEmpty == (open != .always))
    }

    @Test("the strongest opening is found for each transport by itself")
    func strongestByTransport() {
        let policy = Policy(rules: [
            rule(from: ["10.0.0.0/8"], over: [.tcp], open: .never),
            rule(from: ["10.0.0.0/8"], over: [.tcp, .udp], open: .onLookup),
            rule(from: ["10.0.0.0/8"], over: [.udp], open: .always),
        ])
        #expect(decisions(policy, ["10.0.0.1"], over: .tcp) == [.permitted(rule: 1, open: .onLookup)])
        #expect(decisions(policy, ["10.0.0.1"], over: .udp) == [.permitted(rule: 2, open: .always)])
        #expect(policy.standing(.nfs, over: .tcp) == [])
        #expect(policy.standing(.nfs, over: .udp) == [range("10.0.0.0", "10.255.255.255")])
    }

    @Test("lists what the listing rules cover, and names the first of them")
    func lists() {
        let policy = Policy(rules: [
            rule(from: ["10.0.0.0/8"], to: [.nfs, .mountd]),
            rule(from: ["10.0.0.0/8"], to: [.mountd], over: [.tcp], lists: true),
            rule(from: ["10.1.0.0/16"], to: [.status], lists: true, open: .never),
        ])
        let (client, both) = (address("10.0.0.1"), address("10.1.0.1"))
        #expect(policy.listing(by: address("11.0.0.1")) == .stranger)
        #expect(Policy(rules: [rule(from: ["10.0.0.0/8"])]).listing(by: client) == .noList)
        #expect(policy.listing(by: client) == .permitted(rule: 1))
        #expect(policy.listing(by: both) == .permitted(rule: 1))
        #expect(policy.lists(.mountd, over: .tcp, for: client))
        #expect(!policy.lists(.mountd, over: .udp, for: client))
        #expect(!policy.lists(.nfs, over: .tcp, for: client))
        #expect(!policy.lists(.status, over: .tcp, for: client))
        #expect(policy.lists(.status, over: .udp, for: both))
        #expect(!policy.lists(.mountd, over: .tcp, for: address("11.0.0.1")))
    }

    @Test(
        "host names stand for what they resolve to, in both families; unresolved they name nobody, and a rule that excepts them permits nobody"
    )
    func hosts() {
        let rules = [rule(from: ["ws1.example", "10.0.0.9"], except: ["bad.example"]), rule(from: ["gone.example"])]
        let addresses: [String: HostAddresses] = [
            "ws1.example": [address("10.0.0.1"), address("2001:db8::1"), address("10.0.0.3")],
            "bad.example": [address("10.0.0.3"), address("10.0.0.9")],
        ]
        let policy = Policy(rules: rules, addresses: addresses)
        let permitted = LookupDecision.permitted(rule: 0, open: .onLookup)
        #expect(
            decisions(policy, ["10.0.0.0", "10.0.0.2", "10.0.0.3", "10.0.0.9", "2001:db8::2"]).allSatisfy {
                $0 == .stranger
            })
        #expect(decisions(policy, ["10.0.0.1", "2001:db8::1"]).allSatisfy { $0 == permitted })
        #expect(decisions(Policy(rules: rules), ["10.0.0.1"]) == [.stranger])
        #expect(decisions(Policy(rules: rules), ["10.0.0.9"]) == [.stranger])
    }

    @Test(
        "a name with addresses that aren't known names its others, and a rule that excepts it permits nobody",
        arguments: [
            HostAddresses([address("10.0.0.1")], unknown: .ipv6), HostAddresses([address("10.0.0.1")], isCut: true),
        ])
    func partlyKnownHosts(addresses: HostAddresses) {
        let rules = [rule(from: ["2001:db8::/64"], except: ["ws1.example"]), rule(from: ["ws1.example"])]
        let policy = Policy(rules: rules, addresses: ["ws1.example": addresses])
        #expect(decisions(policy, ["2001:db8::1"]) == [.stranger])
        #expect(decisions(policy, ["10.0.0.1"]) == [.permitted(rule: 1, open: .onLookup)])
    }
}

private func decisions(_ policy: Policy, _ clients: [String], over transport: Transport = .tcp) -> [LookupDecision] {
    clients.map { policy.lookup(.nfs, over: transport, by: address($0)) }
}
