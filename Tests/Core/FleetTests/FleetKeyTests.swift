import Addresses
import Fleet
import FleetRecords
import TestSupport
import Testing

@Suite("keys of the fleet") struct FleetKeyTests {
    private static let grant = SharedGrant(ip("192.0.2.7"), .nfs, .tcp)
    private static let routed = SharedGrant(ip("2001:db8::7"), .mountd, .udp, server: ip("198.51.100.9"))

    private static let samples: [(FleetKey, String)] = [
        (.currentPolicy(group: "nfs"), "/rpcwarden/v1/lab/policy/nfs/current"),
        (.policyPiece(group: "nfs", serial: 42, piece: 3), "/rpcwarden/v1/lab/policy/nfs/bundle/42/3"),
        (.status(node: "nas1.lab"), "/rpcwarden/v1/lab/nodes/nas1.lab/status"),
        (
            .grant(pair: "nas", node: "nas1", grant), "/rpcwarden/v1/lab/pairs/nas/grants/nas1/192.0.2.7!100003!tcp"
        ),
        (
            .ended(pair: "gw", node: "gw1", routed),
            "/rpcwarden/v1/lab/pairs/gw/ended/gw1/2001:db8::7!100005!udp!198.51.100.9"
        ),
        (.quarantine(node: "nas1", ip("203.0.113.5")), "/rpcwarden/v1/lab/quarantines/nas1/203.0.113.5"),
        (.order(id: "2026-11-30.1"), "/rpcwarden/v1/lab/orders/2026-11-30.1"),
    ]

    @Test("are written and read back", arguments: samples)
    func roundTrip(key: FleetKey, text: String) {
        #expect(key.text(of: "lab") == text)
        #expect(FleetKey(text, of: "lab") == key)
        #expect(FleetKey(text, of: "lap") == nil)
    }

    @Test("of other bytes are refused: each prefix, and each byte changed or added", arguments: samples)
    func bytes(key: FleetKey, text: String) {
        let bytes = Array(text.utf8)
        for count in bytes.indices {
            let cut = FleetKey(String(decoding: bytes[..<count], as: UTF8.self), of: "lab")
            #expect(cut != key)
            for byte: UInt8 in [0, 0x20, 0x21, 0x2f, 0x41, 0x7f, 0xc3] where byte != bytes[count] {
                var other = bytes
                other[count] = byte
                let read = FleetKey(String(decoding: other, as: UTF8.self), of: "lab")
                #expect(read.map { Array($0.text(of: "lab").utf8) == other } ?? true)
                other.append(byte)
                let longer = FleetKey(String(decoding: other, as: UTF8.self), of: "lab")
                #expect(longer.map { Array($0.text(of: "lab").utf8) == other } ?? true)
            }
        }
    }

    @Test(
        "that aren't written as keys are, are refused",
        arguments: [
            "", "policy", "policy/nfs", "policy//current", "policy/nfs/bundle/042/0", "policy/nfs/bundle/1/65536",
            "nodes/-a/status", "nodes/a/status/", "nodes/a/b/status", "nodes/ä/status",
            "pairs/p/grants/n/192.0.2.7!100003!sctp", "pairs/p/grants/n/192.0.2.07!100003!tcp",
            "pairs/p/grants/n/192.0.2.7!0100003!tcp", "pairs/p/grants/n/192.0.2.7!+1!tcp",
            "pairs/p/grants/n/::ffff:192.0.2.7!1!tcp", "pairs/p/grants/n/2001:DB8::1!1!tcp",
            "pairs/p/grants/n/192.0.2.7!4294967296!tcp", "pairs/p/grants/n/192.0.2.7!1!tcp!",
            "pairs/p/grants/n/192.0.2.7!1!tcp!192.0.2.1!1", "pairs/p/other/n/192.0.2.7!1!tcp",
            "quarantines/n/host", "orders/", "orders/a/b", "other/a/b",
        ])
    func refused(path: String) {
        #expect(FleetKey("/rpcwarden/v1/lab/" + path, of: "lab") == nil)
    }

    @Test("name their writer, if it is a node")
    func writers() {
        #expect(Self.samples.map(\.0.writer) == [nil, nil, "nas1.lab", "nas1", "gw1", "nas1", nil])
    }
}
