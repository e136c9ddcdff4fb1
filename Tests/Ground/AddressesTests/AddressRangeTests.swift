import Addresses
import Testing

private func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

@Suite("prefix and range") struct AddressRangeTests {
    @Test(
        "a length that doesn't fit the family is refused",
        arguments: [
            ("10.0.0.1", -1), ("10.0.0.1", 33), ("10.0.0.1", 128), ("::1", -1), ("::1", 129), ("::ffff:10.0.0.1", 104),
        ])
    func badLength(text: String, length: Int) throws {
        #expect(Prefix(try address(text), length: length) == nil)
    }

    @Test(
        "a prefix holds its address, masked, and spans its range",
        arguments: [
            ("10.20.30.40", 16, "10.20.0.0/16", "10.20.0.0", "10.20.255.255"),
            ("10.20.30.40", 0, "0.0.0.0/0", "0.0.0.0", "255.255.255.255"),
            ("10.20.30.40", 1, "0.0.0.0/1", "0.0.0.0", "127.255.255.255"),
            ("10.20.30.41", 31, "10.20.30.40/31", "10.20.30.40", "10.20.30.41"),
            ("10.20.30.40", 32, "10.20.30.40/32", "10.20.30.40", "10.20.30.40"),
            ("255.255.255.255", 32, "255.255.255.255/32", "255.255.255.255", "255.255.255.255"),
            ("2001:db8:20::1", 48, "2001:db8:20::/48", "2001:db8:20::", "2001:db8:20:ffff:ffff:ffff:ffff:ffff"),
            ("2001:db8::1", 0, "::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("2001:db8::1", 128, "2001:db8::1/128", "2001:db8::1", "2001:db8::1"),
            ("ffff::ffff", 127, "ffff::fffe/127", "ffff::fffe", "ffff::ffff"),
        ])
    func masks(text: String, length: Int, printed: String, first: String, last: String) throws {
        let prefix = try #require(Prefix(try address(text), length: length))
        #expect(prefix.description == printed)
        #expect(prefix.range == AddressRange(try address(first), try address(last)))
        #expect(prefix.range.contains(try address(text)))
    }

    @Test("a single address is the longest prefix")
    func single() throws {
        #expect(Prefix(try address("10.0.0.1")).description == "10.0.0.1/32")
        #expect(Prefix(try address("::1")) == Prefix(try address("::1"), length: 128))
    }

    @Test("a range ends at both its ends, and knows no other family")
    func contains() throws {
        let range = AddressRange(try address("10.0.0.2"), try address("10.0.0.4"))
        for (text, isInside) in [
            ("10.0.0.1", false), ("10.0.0.2", true), ("10.0.0.3", true), ("10.0.0.4", true), ("10.0.0.5", false),
            ("::a00:3", false), ("::ffff:10.0.0.3", true),
        ] {
            #expect(range.contains(try address(text)) == isInside)
        }
        let everything = AddressRange(.v6(0), .v6(.max))
        #expect(!everything.contains(.v4(1)))
        #expect(everything.contains(.v6(1)))
    }

    @Test("prints one address as one")
    func prints() throws {
        #expect("\(AddressRange(.v4(1), .v4(1)))" == "0.0.0.1")
        #expect("\(AddressRange(.v6(1), .v6(2)))" == "::1-::2")
    }

    @Test("orders by first, then last; prefixes by address, then length")
    func order() throws {
        let ranges = [AddressRange(.v4(1), .v4(2)), AddressRange(.v4(1), .v4(3)), AddressRange(.v4(2), .v4(2))]
        #expect(ranges.reversed().sorted() == ranges)
        let prefixes = [Prefix(.v4(0), length: 0), Prefix(.v4(0), length: 8), Prefix(.v4(1))].compactMap(\.self)
        #expect(prefixes.reversed().sorted() == prefixes)
    }
}
