import Addresses
import Testing

@Suite("IPv6 bits") struct IPv6BitsTests {
    private static let ascending: [UInt128] = [
        0, 1, 0xffff_ffff_ffff_fffe, 0xffff_ffff_ffff_ffff, 1 << 64, 1 << 64 | 1, 0x2001_0db8 << 96, 1 << 127,
        UInt128.max - 1,
        UInt128.max,
    ]

    @Test("keeps every bit", arguments: ascending)
    func value(value: UInt128) {
        #expect(IPv6Bits(value).value == value)
        #expect(IPv6Bits(value).subnet == UInt64(truncatingIfNeeded: value >> 64))
    }

    @Test("the next number carries from one word into the other, and back", arguments: ascending.dropLast())
    func successor(value: UInt128) {
        #expect(IPv6Bits(value).successor == IPv6Bits(value + 1))
        #expect(IPv6Bits(value + 1).predecessor == IPv6Bits(value))
    }

    @Test("orders by number, not by word")
    func order() {
        let bits = Self.ascending.map { IPv6Bits($0) }
        #expect(bits.reversed().sorted() == bits)
        for (lower, upper) in zip(bits, bits.dropFirst()) { #expect(lower < upper && !(upper < lower)) }
        #expect(IPv6Bits.min == 0 && IPv6Bits.max.value == UInt128.max)
    }
}
