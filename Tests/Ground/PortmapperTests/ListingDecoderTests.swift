import Addresses
import ONCRPC
import Testing

@testable import Portmapper

@Suite("listing as it comes") struct ListingDecoderTests {
    private static let sample = [
        RPCB(program: .nfs, version: 3, netID: "tcp", address: "0.0.0.0.8.1", owner: "superuser"),
        RPCB(program: .mountd, version: 1, netID: "", address: "", owner: "1000"),
        RPCB(program: .status, version: 1, netID: "udp6", address: "::.2.150", owner: "102"),
    ]

    private static func encoded(_ list: [RPCB]) -> [UInt8] { PortmapperResult.registrations(list).encoded }

    private static func decoded(_ parts: [ArraySlice<UInt8>], trusted: Set<String> = ["superuser"]) -> Listing? {
        var decoder = ListingDecoder(trusted: trusted)
        for part in parts { part.withUnsafeBytes { decoder.feed($0) } }
        return decoder.result
    }

    @Test("is the same as a whole, byte by byte, and cut anywhere")
    func cuts() {
        let bytes = Self.encoded(Self.sample)
        #expect(Self.decoded([bytes[...]]) == Listing(Self.sample))
        #expect(Self.decoded(bytes.indices.map { bytes[$0...$0] }) == Listing(Self.sample))
        for cut in bytes.indices {
            #expect(Self.decoded([bytes[..<cut], bytes[cut...]]) == Listing(Self.sample))
            #expect(Self.decoded([bytes[..<cut]]) == nil, "truncated at \(cut)")
        }
    }

    @Test("bytes behind the end, and a list that goes on neither way, are no listing")
    func faulty() {
        let bytes = Self.encoded(Self.sample)
        #expect(Self.decoded([(bytes + [0])[...]]) == nil)
        #expect(Self.decoded([([0, 0, 0, 2] + bytes)[...]]) == nil)
        #expect(Self.decoded([]) == nil)
        #expect(Self.decoded([[0, 0, 0, 0]]) == Listing())
    }

    @Test("cuts strings of any length, and repairs what is no printable ASCII")
    func strings() {
        let long = String(repeating: "x", count: 8200)
        let list = [RPCB(program: .nfs, version: 3, netID: "t\u{1}p", address: long, owner: "1000")] + Self.sample
        let kept = Self.decoded([Self.encoded(list)[...]])?.registrations
        #expect(kept?.first?.address == String(long.prefix(PortmapperLimits.addressBytesMax)))
        #expect(kept?.first?.netID == "t?p")
        #expect(kept?.dropFirst().map(\.self) == Self.sample)
    }

    @Test("keeps trusted owners' registrations whatever others register, and counts what it leaves out")
    func flood() {
        let flood = (0..<20_000).map {
            RPCB(program: Program(UInt32($0)), version: 1, netID: "tcp", address: "0.0.0.0.1.1", owner: "1000")
        }
        let listing = Self.decoded([Self.encoded(flood + Self.sample)[...]])
        #expect(listing?.registrations.last?.program == .nfs)
        #expect(listing?.registrations.count == PortmapperLimits.untrustedRegistrationsMax + 1)
        #expect(listing?.omitted == 20_000 - PortmapperLimits.untrustedRegistrationsMax + 2)
        let trusted = Self.decoded([Self.encoded(flood)[...]], trusted: ["1000"])
        #expect(trusted?.registrations.count == PortmapperLimits.registrationsMax)
        #expect(trusted?.omitted == 20_000 - PortmapperLimits.registrationsMax)
    }
}
