import Addresses
import Testing

@Suite("IP address") struct IPAddressTests {
    @Test(
        "refuses what is no numeric address",
        arguments: [
            "", " ", ".", "1", "1.2.3", "1.2.3.", ".1.2.3", "1..2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.04", "00.0.0.0",
            "256.0.0.1", "1.2.3.256", "99999.1.1.1", "1.2.3.-4", "+1.2.3.4", " 1.2.3.4", "1.2.3.4 ", "1.2.3.4\n",
            "0x1.2.3.4",
            "1.2.3.a", "1,2,3,4", "１.2.3.4", "localhost", "1.2.3.4/24",
            ":", ":::", "::::", "1", "1:2", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::",
            "::1:2:3:4:5:6:7:8",
            "1:2:3:4::5:6:7:8", "1::2::3", "1:::2", "::1::", ":1:2:3:4:5:6:7", "1:2:3:4:5:6:7:", ":1::2", "1::2:", ":1",
            "1:",
            ":1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:", "12345::", "::g", "::-1", "::+1", "::1%eth0", "fe80::1%1", "[::1]",
            " ::1",
            "::1 ", "::1/128", "::1.2.3", "::1.2.3.4.5", "::01.2.3.4", "::1.2.3.256", "1.2.3.4::", "1.2.3.4:1::",
            "::1.2.3.4:1",
            "1:2:3:4:5:6:7:1.2.3.4", "1:2:3:4:5:1.2.3.4", ":1.2.3.4", ":1:1.2.3.4", ":1:2:3:4:5:1.2.3.4", ":::1.2.3.4",
            "::ffff:1.2.3", "::.1.2.3", "1:1.2.3.4",
        ])
    func rejects(text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test(
        "parses and prints (RFC 5952)",
        arguments: [
            ("0.0.0.0", .v4(0), "0.0.0.0"),
            ("255.255.255.255", .v4(UInt32.max), "255.255.255.255"),
            ("10.77.1.2", .v4(0x0a4d_0102), "10.77.1.2"),
            ("::", .v6(0), "::"),
            ("::1", .v6(1), "::1"),
            ("1::", .v6(0x0001_0000_0000_0000_0000_0000_0000_0000), "1::"),
            ("0:0:0:0:0:0:0:0", .v6(0), "::"),
            ("2001:DB8::A", .v6(0x2001_0db8_0000_0000_0000_0000_0000_000a), "2001:db8::a"),
            ("2001:0db8:0000:0000:0000:0000:0000:0001", .v6(0x2001_0db8_0000_0000_0000_0000_0000_0001), "2001:db8::1"),
            ("2001:db8:0:1:1:1:1:1", .v6(0x2001_0db8_0000_0001_0001_0001_0001_0001), "2001:db8:0:1:1:1:1:1"),
            ("2001:db8:0:0:1:0:0:1", .v6(0x2001_0db8_0000_0000_0001_0000_0000_0001), "2001:db8::1:0:0:1"),
            ("2001:0:0:1:0:0:0:1", .v6(0x2001_0000_0000_0001_0000_0000_0000_0001), "2001:0:0:1::1"),
            ("1:2:3:4:5:6:7::", .v6(0x0001_0002_0003_0004_0005_0006_0007_0000), "1:2:3:4:5:6:7:0"),
            ("::2:3:4:5:6:7:8", .v6(0x0000_0002_0003_0004_0005_0006_0007_0008), "0:2:3:4:5:6:7:8"),
            ("1:0:0:4:5:6:0:0", .v6(0x0001_0000_0000_0004_0005_0006_0000_0000), "1::4:5:6:0:0"),
            ("64:ff9b::1.2.3.4", .v6(0x0064_ff9b_0000_0000_0000_0000_0102_0304), "64:ff9b::102:304"),
            ("1:2:3:4:5:6:1.2.3.4", .v6(0x0001_0002_0003_0004_0005_0006_0102_0304), "1:2:3:4:5:6:102:304"),
            ("1::1.2.3.4", .v6(0x0001_0000_0000_0000_0000_0000_0102_0304), "1::102:304"),
            ("::1.2.3.4", .v6(0x0102_0304), "::102:304"),
            ("::fffe:1.2.3.4", .v6(0xfffe_0102_0304), "::fffe:102:304"),
            ("fe80::1", .v6(0xfe80_0000_0000_0000_0000_0000_0000_0001), "fe80::1"),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", .v6(.max), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] as [(String, IPAddress, String)])
    func parsesAndPrints(text: String, address: IPAddress, printed: String) {
        #expect(IPAddress(text) == address)
        #expect(address.description == printed)
        #expect(IPAddress(printed) == address)
    }

    @Test(
        "a mapped address is the IPv4 address that it stands for",
        arguments: [
            "::ffff:10.77.1.2", "::FFFF:a4d:102", "0:0:0:0:0:ffff:10.77.1.2", "0000:0000:0000:0000:0000:ffff:0a4d:0102",
        ])
    func mapped(text: String) {
        #expect(IPAddress(text) == .v4(0x0a4d_0102))
        #expect(IPAddress(v6Bits: 0xffff_0a4d_0102) == .v4(0x0a4d_0102))
        #expect(
            IPAddress(networkBytes: [UInt8](repeating: 0, count: 10) + [0xff, 0xff, 10, 77, 1, 2]) == .v4(0x0a4d_0102))
    }

    @Test("network bytes are 4 or 16, and are read back")
    func networkBytes() {
        for count in 0...20 where count != 4 && count != 16 {
            #expect(IPAddress(networkBytes: [UInt8](repeating: 1, count: count)) == nil)
        }
        for address: IPAddress in [
            .v4(0x0102_0304), .v4(0), .v6(0), .v6(.max), .v6(0x2001_0db8_0000_0000_0000_0000_0000_0007),
        ] {
            #expect(IPAddress(networkBytes: address.networkBytes) == address)
        }
        #expect(IPAddress.v4(0x0102_0304).networkBytes == [1, 2, 3, 4])
    }

    @Test("IPv4 comes before IPv6, each by number")
    func order() {
        let ascending: [IPAddress] = [.v4(0), .v4(1), .v4(UInt32.max), .v6(0), .v6(1), .v6(.max)]
        #expect(ascending.shuffled().sorted() == ascending)
        for address in ascending { #expect(!(address < address)) }
    }

    @Test(
        "loopback, unspecified, multicast and broadcast",
        arguments: [
            ("127.0.0.1", true, false, false), ("127.255.255.255", true, false, false),
            ("128.0.0.0", false, false, false),
            ("126.255.255.255", false, false, false), ("::1", true, false, false), ("::2", false, false, false),
            ("::ffff:127.0.0.1", true, false, false), ("0.0.0.0", false, true, false), ("::", false, true, false),
            ("0.0.0.1", false, false, false), ("224.0.0.1", false, false, true),
            ("239.255.255.255", false, false, true),
            ("240.0.0.1", false, false, false), ("223.255.255.255", false, false, false),
            ("255.255.255.255", false, false, true), ("ff02::202", false, false, true), ("ff00::", false, false, true),
            ("feff::1", false, false, false), ("fe80::1", false, false, false),
        ])
    func kinds(text: String, isLoopback: Bool, isUnspecified: Bool, isMulticastOrBroadcast: Bool) throws {
        let address = try #require(IPAddress(text))
        #expect(address.isLoopback == isLoopback)
        #expect(address.isUnspecified == isUnspecified)
        #expect(address.isMulticastOrBroadcast == isMulticastOrBroadcast)
    }
}
