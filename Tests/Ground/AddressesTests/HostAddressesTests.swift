import Addresses
import Testing

@Suite("addresses of a host name") struct HostAddressesTests {
    private static let four = IPAddress.v4(0x0a01_0203)
    private static let six = IPAddress.v6(IPv6Bits(0x2001_0db8 << 96 | 1))
    private static let many = (0..<100).map { IPAddress.v4($0) }

    @Test("a family that the resolver failed for keeps what was known of it; the other one doesn't")
    func halves() {
        let whole = HostAddresses([.v4(1), Self.six])
        let half = HostAddresses([Self.four], unknown: .ipv6)
        #expect(half.filled(from: whole) == HostAddresses([Self.four, Self.six]))
        #expect(half.filled(from: whole).isWhole)
        #expect(HostAddresses([Self.six], unknown: .ipv4).filled(from: half) == HostAddresses([Self.four, Self.six]))
    }

    @Test("a family that was never known stays unknown")
    func unknown() {
        let half = HostAddresses([Self.four], unknown: .ipv6)
        #expect(!half.isWhole && half.filled(from: nil) == half)
        #expect(half.filled(from: HostAddresses([.v4(1)], unknown: .ipv6)) == half)
    }

    @Test("an answer about both families replaces the earlier one")
    func whole() {
        #expect(HostAddresses([Self.four]).filled(from: [Self.six]) == [Self.four])
    }

    @Test("more than 64 are cut, always to the same ones, and that is known")
    func cut() {
        let cut = HostAddresses(Self.many.reversed())
        #expect(cut.isCut && !cut.isWhole && cut.known == Array(Self.many.prefix(64)))
        #expect(HostAddresses(Self.many.prefix(64)).isWhole)
        #expect(HostAddresses([Self.four], unknown: .ipv4).filled(from: cut).isCut)
    }
}
