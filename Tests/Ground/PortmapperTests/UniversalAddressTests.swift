import Addresses
import Portmapper
import Testing

@Suite("universal address") struct UniversalAddressTests {
    @Test(
        "refuses what is malformed",
        arguments: [
            "", ".", "..", "111", "0.111", ".0.111", "10.77.1.1", "10.77.1.1.111", "10.77.1.1.0.111.", "10.77.1.1.0.",
            ".10.77.1.1.0.111",
            "10.77.1.1..111", "10.77.1.1.0.256", "10.77.1.1.256.0", "10.77.1.1.0.-1", "10.77.1.1.+0.111",
            "10.77.1.1.00.111",
            "10.77.1.1.0.0111", "10.77.1.1.0.111 ", " 10.77.1.1.0.111", "10.77.1.256.0.111", "10.77.01.1.0.111",
            "10.77.1.1.1.0.111", "::1", "::1.87", "::1%eth0.4.87", "::1.4.87.1", "localhost.0.111", "/run/rpcbind.sock",
            "garbage", "[::1].4.87", "::.8", ":.8.1", "fd77:1::1::.8.1", "10.77.1.1.0x0.111", "1.2.3.4.5.65536",
        ])
    func rejects(text: String) {
        #expect(UniversalAddress(text) == nil)
    }

    @Test(
        "parses, and prints the same",
        arguments: [
            ("10.77.1.1.0.111", "10.77.1.1", 111), ("0.0.0.0.8.1", "0.0.0.0", 2049), ("::1.4.87", "::1", 1111),
            ("::.8.1", "::", 2049), ("fd77:1::1.8.1", "fd77:1::1", 2049),
            ("255.255.255.255.255.255", "255.255.255.255", 65535),
            ("127.0.0.1.0.0", "127.0.0.1", 0), ("1.2.3.4.5.6", "1.2.3.4", 1286),
        ] as [(String, String, UInt16)])
    func parses(text: String, host: String, port: UInt16) throws {
        let address = try #require(UniversalAddress(text))
        #expect(address == UniversalAddress(host: try #require(IPAddress(host)), port: port))
        #expect(address.description == text)
    }

    @Test("an IPv6 host may end in a dotted quad")
    func quadTail() {
        #expect(UniversalAddress("::ffff:10.77.1.1.0.111")?.description == "10.77.1.1.0.111")
        #expect(UniversalAddress("64:ff9b::1.2.3.4.8.1")?.description == "64:ff9b::102:304.8.1")
    }

    @Test("every port is read back")
    func everyPort() {
        for port in UInt16.min...UInt16.max {
            let address = UniversalAddress(host: .v4(0x0a00_0001), port: port)
            if UniversalAddress(address.description) != address { Issue.record("\(address)") }
        }
    }
}
