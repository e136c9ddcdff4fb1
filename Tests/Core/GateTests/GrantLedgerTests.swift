import Clock
import CoreSamples
import Firewall
import ONCRPC
import Policy
import TestSupport
import Testing

@testable import Gate

@Suite("grant ledger") struct GrantLedgerTests {
    private static let key = GrantKey("10.1.2.3", .tcp(1))

    private static func grant(until milliseconds: Int64) -> Grant {
        Grant(
            programs: Programs(.nfs), rule: "r", issued: Timestamp(milliseconds: 0),
            expiresNotBefore: at(milliseconds))
    }

    @Test("tells until when a grant lasts to the programs that it is for, and to no other")
    func expiry() {
        var ledger = GrantLedger()
        #expect(ledger.expiry(of: Self.key, for: .nfs) == nil)
        ledger.record(Self.key, Self.grant(until: 5))
        #expect(ledger.expiry(of: Self.key, for: .nfs) == at(5))
        #expect(ledger.expiry(of: Self.key, for: .mountd) == nil)
        #expect(ledger.expiry(of: GrantKey("10.1.2.3", .tcp(2)), for: .nfs) == nil)
        _ = ledger.remove(Self.key)
        #expect(ledger.expiry(of: Self.key, for: .nfs) == nil)
    }

    @Test("counts each client's grants, renewed ones once")
    func counts() {
        var ledger = GrantLedger()
        for _ in 0..<3 { ledger.record(Self.key, Self.grant(until: 1)) }
        ledger.record(GrantKey("10.1.2.3", .udp(1)), Self.grant(until: 1))
        #expect((ledger.count, ledger.count(of: ip("10.1.2.3")), ledger.count(of: ip("10.1.2.4"))) == (2, 2, 0))
        #expect(ledger.remove(Self.key) != nil)
        #expect(ledger.remove(Self.key) == nil)
        #expect(ledger.count(of: ip("10.1.2.3")) == 1)
    }

    @Test("holds what a plain dictionary would, whatever comes and goes", arguments: 0..<20)
    func model(seed: Int) {
        var generator = SeededGenerator(state: UInt64(seed))
        var ledger = GrantLedger()
        var model: [GrantKey: Grant] = [:]
        for step in Int64(0)..<400 {
            let client = "10.1.2.\(Int.random(in: 1...5, using: &generator))"
            let key = GrantKey(client, .tcp(UInt16.random(in: 1...6, using: &generator)))
            if Int.random(in: 0..<5, using: &generator) < 2 {
                let (removed, expected) = (ledger.remove(key), model.removeValue(forKey: key))
                #expect(removed == expected)
            } else {
                ledger.record(key, Self.grant(until: step))
                model[key] = Self.grant(until: step)
            }
            #expect((ledger.count, ledger[key]) == (model.count, model[key]))
            #expect(ledger.count(of: key.client) == model.keys.count { $0.client == key.client })
        }
        #expect(Dictionary(uniqueKeysWithValues: ledger.all.map { ($0.key, $0.grant) }) == model)
        let due = ledger.takeDue(at: at(999), limit: 999)
        #expect(due.sorted() == model.keys.sorted())
    }

    @Test("a place that another grant took is due for that one alone")
    func reused() {
        var ledger = GrantLedger()
        ledger.record(Self.key, Self.grant(until: 1))
        _ = ledger.remove(Self.key)
        let other = GrantKey("10.1.2.9", .tcp(9))
        ledger.record(other, Self.grant(until: 5))
        #expect(ledger.takeDue(at: at(4), limit: 9) == [])
        #expect(ledger.takeDue(at: at(5), limit: 9) == [other])
    }

    @Test("a grant is due when it may have expired, not before, and not again until it is prolonged")
    func due() {
        var ledger = GrantLedger()
        ledger.record(Self.key, Self.grant(until: 10))
        ledger.record(Self.key, Self.grant(until: 20))
        #expect(ledger.takeDue(at: at(19), limit: 9) == [])
        #expect(ledger.takeDue(at: at(20), limit: 9) == [Self.key])
        #expect(ledger.takeDue(at: at(99), limit: 9) == [])
        ledger.prolong(Self.key, notBefore: at(100))
        #expect(ledger.takeDue(at: at(100), limit: 9) == [Self.key])
        ledger.prolong(GrantKey("10.9.9.9", .tcp(1)), notBefore: at(100))
        #expect(ledger.takeDue(at: at(200), limit: 9) == [])
    }

    @Test("no more are due at once than asked for")
    func limit() {
        var ledger = GrantLedger()
        for port in UInt16(1)...10 { ledger.record(GrantKey("10.1.2.3", .tcp(port)), Self.grant(until: 1)) }
        #expect(ledger.takeDue(at: at(1), limit: 6).count == 6)
        #expect(ledger.takeDue(at: at(1), limit: 6).count == 4)
    }

    @Test("a grant that is renewed without end leaves a bounded queue, and is still due")
    func bounded() {
        var ledger = GrantLedger()
        for time in Int64(1)...100_000 { ledger.record(Self.key, Self.grant(until: time)) }
        #expect(ledger.dueCount < 2000)
        #expect(ledger.takeDue(at: at(99_999), limit: 9) == [])
        #expect(ledger.takeDue(at: at(100_000), limit: 9) == [Self.key])
    }
}
