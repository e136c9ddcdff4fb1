import Addresses
import Policy
import Testing

@Suite("standing ranges") struct StandingTests {
    @Test(
        "adjacent and overlapping ranges merge; the families stay apart",
        arguments: [
            (["10.0.0.0/25", "10.0.0.128/25"], [], [range("10.0.0.0", "10.0.0.255")]),
            (
                ["10.0.0.1", "10.0.0.2", "10.0.0.4"], [],
                [range("10.0.0.1", "10.0.0.2"), range("10.0.0.4", "10.0.0.4")]
            ),
            (["10.0.0.0/8", "10.1.0.0/16"], [], [range("10.0.0.0", "10.255.255.255")]),
            (
                ["0.0.0.0/0", "::/0"], [],
                [
                    range("0.0.0.0", "255.255.255.255"), range("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
                ]
            ),
            (["255.255.255.255", "::"], [], [range("255.255.255.255", "255.255.255.255"), range("::", "::")]),
            (["10.0.0.0/30"], ["10.0.0.1"], [range("10.0.0.0", "10.0.0.0"), range("10.0.0.2", "10.0.0.3")]),
            (["10.0.0.0/30"], ["10.0.0.0"], [range("10.0.0.1", "10.0.0.3")]),
            (["10.0.0.0/30"], ["10.0.0.3"], [range("10.0.0.0", "10.0.0.2")]),
            (["0.0.0.0/0"], ["10.0.0.0/8"], [range("0.0.0.0", "9.255.255.255"), range("11.0.0.0", "255.255.255.255")]),
            (["0.0.0.0/0"], ["128.0.0.0/1"], [range("0.0.0.0", "127.255.255.255")]),
            (
                ["2001:db8::/126"], ["2001:db8::1"],
                [range("2001:db8::", "2001:db8::"), range("2001:db8::2", "2001:db8::3")]
            ),
            (["::/0"], ["::/1"], [range("8000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")]),
        ] as [([String], [String], [AddressRange])])
    func ranges(from: [String], except: [String], expected: [AddressRange]) {
        let policy = Policy(rules: [rule(from: from, except: except, open: .always)])
        #expect(policy.standing(.nfs, over: .tcp) == expected)
        #expect(policy.standing(.nfs, over: .udp) == expected)
        #expect(policy.standing(.mountd, over: .tcp) == [])
    }

    @Test("ranges of several rules merge, and what another rule names besides does not split them")
    func severalRules() {
        let policy = Policy(rules: [
            rule(from: ["10.0.0.0/25"], over: [.tcp], open: .always),
            rule(from: ["10.0.0.128/25"], open: .always),
            rule(from: ["10.0.0.64/26", "10.0.0.200"], to: [.mountd], open: .onLookup),
            rule(from: ["10.0.0.0/16"], open: .onLookup),
        ])
        #expect(policy.standing(.nfs, over: .tcp) == [range("10.0.0.0", "10.0.0.255")])
        #expect(policy.standing(.nfs, over: .udp) == [range("10.0.0.128", "10.0.0.255")])
        #expect(policy.standing(.mountd, over: .tcp) == [])
    }
}
