import Addresses
import Bundles
import Clock
import Testing

@Suite("an order to a fleet") struct FleetOrderTests {
    private static let created = Timestamp(milliseconds: 1_800_000_000_000)
    private let order = FleetOrder(
        fleet: "lab", id: "20270115T080000Z-5f3a", created: created, action: .revoke,
        client: IPAddress("192.0.2.7") ?? .v4(0))

    private func changed(_ part: String, _ other: String) -> FleetOrder? {
        let text = String(decoding: order.container, as: UTF8.self)
        #expect(text.contains(part))
        return FleetOrder(container: Array(text.replacing(part, with: other).utf8)[...])
    }

    @Test("is read as it was written")
    func roundTrip() {
        #expect(
            String(decoding: order.container, as: UTF8.self)
                == "rpcwarden-order 1\nfleet lab\nid 20270115T080000Z-5f3a\ncreated 2027-01-15T08:00:00Z\n"
                + "revoke 192.0.2.7\nend\n")
        #expect(FleetOrder(container: order.container[...]) == order)
        #expect(changed("revoke 192.0.2.7", "release 2001:db8::7")?.action == .release)
    }

    @Test(
        "has one form only",
        arguments: [
            ("order 1", "order 2"), ("lab", "l/b"), ("revoke", "revise"), ("192.0.2.7", "192.0.2.07"),
            ("192.0.2.7", "2001:DB8::7"), ("end\n", "end"), ("end\n", "end\n\n"), ("fleet", "fleet "), ("id ", "id /"),
            ("T08:00:00Z", "T08:00:00+"),
        ])
    func oneForm(part: String, other: String) {
        #expect(changed(part, other) == nil)
    }

    @Test("is not read when it is cut anywhere")
    func cut() {
        for count in 0..<order.container.count { #expect(FleetOrder(container: order.container.prefix(count)) == nil) }
    }

    @Test("counts in its fleet, for 24 h, and 60 s before its time")
    func counts() {
        #expect(order.refusal(inFleet: "lab", at: Self.created + .seconds(86_400)) == nil)
        #expect(order.refusal(inFleet: "lab", at: Self.created + .seconds(-60)) == nil)
        #expect(order.refusal(inFleet: "lab", at: Self.created + .seconds(86_401)) != nil)
        #expect(order.refusal(inFleet: "lab", at: Self.created + .seconds(-61)) != nil)
        #expect(order.refusal(inFleet: "lab2", at: Self.created) != nil)
    }
}
