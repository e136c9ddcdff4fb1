import Bundles
import Clock
import Testing

@Suite("The bundle that was accepted last") struct AcceptedBundleTests {
    private static func accepted(
        serial: UInt64 = 42, fleet: String = "lab", group: String = "nfs", digest: String = "5f", notAfter: Int64? = nil
    ) -> AcceptedBundle {
        AcceptedBundle(
            PolicyBundleTests.bundle(fleet: fleet, group: group, serial: serial, notAfter: notAfter), digest: digest)
    }

    @Test("lets only the same or a later one follow")
    func serials() {
        let last = Self.accepted()
        #expect(last.refusal(of: Self.accepted(serial: 43, digest: "60")) == nil)
        #expect(last.refusal(of: last) == nil)
        #expect(last.refusal(of: Self.accepted(serial: 41))?.contains("older than 42") == true)
        #expect(last.refusal(of: Self.accepted(digest: "60"))?.contains("other contents") == true)
        #expect(last.refusal(of: Self.accepted(serial: 1, group: "canary")) == nil, "its serials count by themselves")
    }

    @Test("is followed by none of another fleet, unless this host is of that fleet")
    func fleets() {
        let last = Self.accepted()
        let other = Self.accepted(serial: 99, fleet: "default")
        #expect(last.refusal(of: other)?.contains("of fleet \"lab\" was accepted before") == true)
        #expect(last.refusal(of: other, inFleet: "default") == nil)
        #expect(last.refusal(of: Self.accepted(serial: 41), inFleet: "lab") != nil)
    }

    @Test("is remembered as text; anything else isn't taken for it", arguments: [nil, 1_900_000_000_000])
    func text(notAfter: Int64?) {
        let accepted = Self.accepted(notAfter: notAfter)
        #expect(AcceptedBundle(text: accepted.text) == accepted)
        for count in 0..<accepted.text.count {
            #expect(AcceptedBundle(text: Array(accepted.text.prefix(count))) == nil)
        }
        let text = String(decoding: accepted.text, as: UTF8.self)
        for (old, new) in [("accepted 1", "accepted 2"), ("serial 42", "serial 042"), ("lab", "../lab")] {
            #expect(AcceptedBundle(text: Array(text.replacing(old, with: new).utf8)) == nil, "\(new)")
        }
    }

    @Test("expires behind its last second")
    func expiry() {
        let accepted = Self.accepted(notAfter: 1_900_000_000_000)
        #expect(!accepted.hasExpired(at: Timestamp(milliseconds: 1_900_000_000_000)))
        #expect(accepted.hasExpired(at: Timestamp(milliseconds: 1_900_000_000_001)))
        #expect(!Self.accepted().hasExpired(at: Timestamp(milliseconds: .max)))
    }
}
