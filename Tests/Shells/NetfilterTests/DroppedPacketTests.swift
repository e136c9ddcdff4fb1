import Addresses
import Firewall
import Testing

@Suite struct DroppedPacketTests {
    /// 192.0.2.7:700 to 192.0.2.1:2049; TCP, the first 4 bytes of its header.
    private static let ipv4: [UInt8] = [
        0x45, 0, 0, 60, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0,  // version and length, …, don't fragment, TTL, TCP
        192, 0, 2, 7, 192, 0, 2, 1,
        0x02, 0xbc, 0x08, 0x01,
    ]
    /// 2001:db8::7, port 700, to 2001:db8::1, port 2049; UDP, the first 4 bytes of its header.
    private static let ipv6: [UInt8] =
        [0x60, 0, 0, 0, 0, 8, 17, 64]  // version, …, UDP, hop limit
        + [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]
        + [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
        + [0x02, 0xbc, 0x08, 0x01]

    private func changed(_ packet: [UInt8], _ index: Int, _ byte: UInt8) -> [UInt8] {
        var packet = packet
        packet[index] = byte
        return packet
    }

    @Test("reads client, its port and the service from IPv4 and IPv6, whatever follows")
    func reads() {
        let four = DroppedPacket(
            client: Example.client4, clientPort: 700, service: Example.nfs, kind: .remembered)
        let six = DroppedPacket(
            client: Example.client6, clientPort: 700, service: ServicePort(.udp, 2049), kind: .probe)
        #expect(DroppedPacket(Self.ipv4, kind: .remembered) == four)
        #expect(DroppedPacket(Self.ipv4 + [1, 2, 3], kind: .remembered) == four)
        #expect(DroppedPacket(Self.ipv6, kind: .probe) == six)
        #expect(DroppedPacket(Self.ipv6 + [1, 2, 3], kind: .probe) == six)
    }

    @Test("a packet to a server's address is one to that server, and one to any other address one to this host")
    func located() throws {
        let servers = GatewayShape(
            addresses: [.v4(0xc000_0209), .v4(0xc000_0201), .v6(IPv6Bits(0x2001_0db8 << 96 | 1))])
        #expect(DroppedPacket(Self.ipv4, kind: .probe, servers)?.service.server == ServerID(rawValue: 2))
        #expect(DroppedPacket(Self.ipv6, kind: .probe, servers)?.service.server == ServerID(rawValue: 3))
        let others = GatewayShape(addresses: [.v4(0xc000_0209)])
        for packet in [Self.ipv4, Self.ipv6] {
            #expect(DroppedPacket(packet, kind: .probe, others) == DroppedPacket(packet, kind: .probe))
        }
    }

    @Test("reads past IPv4 options")
    func readsPastOptions() {
        let options: [UInt8] = [1, 1, 1, 1, 9, 9, 9, 9]
        let packet = changed(Array(Self.ipv4[..<20] + options + Self.ipv4[20...]), 0, 0x47)
        #expect(DroppedPacket(packet, kind: .probe) == DroppedPacket(Self.ipv4, kind: .probe))
    }

    @Test("reads nothing from a packet that was cut, anywhere", arguments: [ipv4, ipv6])
    func cut(packet: [UInt8]) {
        for length in 0..<packet.count { #expect(DroppedPacket(Array(packet[..<length]), kind: .probe) == nil) }
    }

    @Test("reads nothing from fragments, extension headers, other transports and what isn't IP")
    func refuses() {
        let odd = [
            changed(Self.ipv4, 6, 0x20),  // more fragments
            changed(Self.ipv4, 7, 1),  // a later fragment
            changed(Self.ipv4, 9, 1),  // ICMP
            changed(Self.ipv4, 0, 0x44),  // a header length below the minimum
            changed(Self.ipv4, 0, 0x4f),  // a header length beyond the packet
            changed(Self.ipv4, 0, 0x55),  // version 5
            changed(Self.ipv6, 6, 44),  // a fragment header
            changed(Self.ipv6, 6, 0),  // hop-by-hop options
        ]
        for packet in odd { #expect(DroppedPacket(packet, kind: .probe) == nil) }
    }

    @Test("takes no IPv6 packet for one of an IPv4 client")
    func mapped() {
        let source: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7]
        let packet = Self.ipv6[..<8] + source + Self.ipv6[24...]
        #expect(DroppedPacket(Array(packet), kind: .probe)?.client != Example.client4)
    }

    @Test("never traps, whatever the bytes")
    func survives() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<20_000 {
            var packet = (0..<Int.random(in: 0..<100)).map { _ in UInt8.random(in: 0...255, using: &generator) }
            if !packet.isEmpty, Bool.random() { packet[0] = [0x45, 0x60].randomElement() ?? 0 }
            _ = DroppedPacket(packet, kind: .probe)
        }
    }
}
