import Addresses
import Policy
import Testing

@Suite("rules whose host names aren't resolved yet") struct PendingRulesTests {
    private static let known = address("192.0.2.7")

    @Test("there are none where every name has addresses, or rules open nothing")
    func none() {
        let rules = [
            rule(from: ["10.0.0.0/8", "ws.example"], open: .always),
            rule(from: ["other.example"], open: .never),
        ]
        let pending = PendingRules(rules: rules, addresses: ["ws.example": [Self.known]])
        #expect(pending.isEmpty && pending.names.isEmpty)
        #expect(!pending.mayPermit(.nfs, over: .tcp, by: Self.known))
        #expect(!PendingRules.none.mayStand(range("10.0.0.1", "10.0.0.1"), .nfs, over: .tcp))
    }

    @Test("an unresolved name may be any client's: for its rule's programs and transports, and no others")
    func named() {
        let pending = PendingRules(rules: [rule(from: ["ws.example"], over: [.tcp])])
        #expect(pending.names == ["ws.example"])
        #expect(pending.mayPermit(.nfs, over: .tcp, by: address("203.0.113.9")))
        #expect(pending.mayPermit(.nfs, over: .tcp, by: address("2001:db8::9")))
        #expect(!pending.mayPermit(.nfs, over: .udp, by: address("203.0.113.9")))
        #expect(!pending.mayPermit(.mountd, over: .tcp, by: address("203.0.113.9")))
    }

    @Test("a name with one unknown family may be any client's; one with too many addresses is settled")
    func partlyKnown() {
        let rules = [rule(from: ["ws.example"])]
        let half = PendingRules(
            rules: rules, addresses: ["ws.example": HostAddresses([Self.known], unknown: .ipv6)])
        #expect(half.names == ["ws.example"])
        #expect(half.mayPermit(.nfs, over: .tcp, by: address("2001:db8::9")))
        let cut = PendingRules(rules: rules, addresses: ["ws.example": HostAddresses([Self.known], isCut: true)])
        #expect(cut.isEmpty)
    }

    @Test("whom a rule is known to except, it doesn't permit whatever its names turn out to be")
    func knownException() {
        let pending = PendingRules(rules: [rule(from: ["ws.example"], except: ["10.0.0.0/8"])])
        #expect(!pending.mayPermit(.nfs, over: .tcp, by: address("10.1.2.3")))
        #expect(pending.mayPermit(.nfs, over: .tcp, by: address("11.1.2.3")))
    }

    @Test("an unresolved exception may except nobody of those that the rule names, and adds none")
    func unresolvedException() {
        let pending = PendingRules(rules: [rule(from: ["10.0.0.0/8"], except: ["bad.example"], open: .always)])
        #expect(pending.names == ["bad.example"])
        #expect(pending.mayPermit(.nfs, over: .tcp, by: address("10.1.2.3")))
        #expect(!pending.mayPermit(.nfs, over: .tcp, by: address("11.1.2.3")))
        #expect(pending.mayStand(range("10.0.0.0", "10.255.255.255"), .nfs, over: .tcp))
        #expect(!pending.mayStand(range("10.0.0.0", "11.0.0.0"), .nfs, over: .tcp))
        #expect(!pending.mayStand(range("11.0.0.0", "11.0.0.0"), .nfs, over: .tcp))
    }

    @Test("a name stands for as many addresses as it can have, never for a prefix")
    func range4() {
        let pending = PendingRules(rules: [rule(from: ["ws.example"], open: .always)])
        #expect(pending.mayStand(range("10.0.0.0", "10.0.0.63"), .nfs, over: .tcp))
        #expect(!pending.mayStand(range("10.0.0.0", "10.0.0.64"), .nfs, over: .tcp))
        #expect(pending.mayStand(range("2001:db8::", "2001:db8::3f"), .nfs, over: .tcp))
        #expect(!pending.mayStand(range("2001:db8::", "2001:db8::40"), .nfs, over: .tcp))
        #expect(!pending.mayStand(range("0.0.0.0", "255.255.255.255"), .nfs, over: .tcp))
        #expect(!pending.mayStand(range("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), .nfs, over: .tcp))
    }

    @Test("a rule that opens at a look-up lets nothing stand")
    func onLookup() {
        let pending = PendingRules(rules: [rule(from: ["ws.example"])])
        #expect(!pending.mayStand(range("10.0.0.1", "10.0.0.1"), .nfs, over: .tcp))
    }
}
