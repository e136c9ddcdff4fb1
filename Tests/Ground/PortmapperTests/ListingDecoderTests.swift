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

    private static func decoded(
        _ parts: [ArraySlice<UInt8>], trusted: TrustedOwners = ["superuser"], version: PortmapperVersion = .v4
    ) -> Listing? {
        var decoder = ListingDecoder(trusted: trusted, version: version)
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

    private static let mappings = [
        Mapping(program: .nfs, version: 3, protocolNumber: 6, port: 2049),
        Mapping(program: .mountd, version: 1, protocolNumber: 17, port: 634),
        Mapping(program: .status, version: 1, protocolNumber: 6, port: 65_535),
    ]

    @Test("a list of version 2 is the same as one of version 4 without owners, however it is cut")
    func version2() {
        let bytes = PortmapperResult.mappings(Self.mappings).encoded
        let expected = Listing(
            [
                RPCB(program: .nfs, version: 3, netID: "tcp", address: "0.0.0.0.8.1", owner: ""),
                RPCB(program: .mountd, version: 1, netID: "udp", address: "0.0.0.0.2.122", owner: ""),
                RPCB(program: .status, version: 1, netID: "tcp", address: "0.0.0.0.255.255", owner: ""),
            ], version: .v2)
        #expect(Self.decoded(bytes.indices.map { bytes[$0...$0] }, version: .v2) == expected)
        for cut in bytes.indices {
            #expect(Self.decoded([bytes[..<cut], bytes[cut...]], version: .v2) == expected)
            #expect(Self.decoded([bytes[..<cut]], version: .v2) == nil, "truncated at \(cut)")
        }
        #expect(Self.decoded([(bytes + [0])[...]], version: .v2) == nil)
        #expect(Self.decoded([([0, 0, 0, 2] + bytes)[...]], version: .v2) == nil)
        #expect(Self.decoded([bytes[...]], version: .v4) == nil)
    }

    @Test("a mapping of another protocol, or at a number that is no port, is left out")
    func version2Nonsense() {
        let odd = [
            Mapping(program: .nfs, version: 3, protocolNumber: 132, port: 2049),
            Mapping(program: .nfs, version: 3, protocolNumber: 6 + 256, port: 2049),
            Mapping(program: .nfs, version: 3, protocolNumber: 6, port: 65_536 + 2049),
        ]
        let bytes = PortmapperResult.mappings(odd + Self.mappings).encoded
        let listing = Self.decoded([bytes[...]], version: .v2)
        #expect(listing?.registrations == Self.mappings.compactMap(RPCB.init))
    }

    @Test("of a list of version 2 without end so many mappings are kept as of a trusted owner's")
    func version2Flood() {
        let flood = Array(repeating: Self.mappings[0], count: 20_000)
        let listing = Self.decoded([PortmapperResult.mappings(flood).encoded[...]], trusted: [], version: .v2)
        #expect(listing?.registrations.count == PortmapperLimits.registrationsMax)
        #expect(listing?.omitted == 20_000 - PortmapperLimits.registrationsMax)
    }

    @Test("owners at a server are trusted by name, as users of the system, or all")
    func serverOwners() {
        let usual = TrustedOwners(atServer: ["superuser", "system"])
        for owner in ["superuser", "1", "29", "999"] { #expect(usual.contains(owner), "\(owner)") }
        for owner in ["", "0", "1000", "unknown", "system", "any", "-1", "+5x", "4294967297"] {
            #expect(!usual.contains(owner), "\(owner)")
        }
        let named = TrustedOwners(atServer: ["root", "1001"])
        #expect(named.contains("superuser") && named.contains("1001") && !named.contains("29"))
        let all = TrustedOwners(atServer: ["any"])
        #expect(all.contains("") && all.contains("1000"))
        #expect(!TrustedOwners(["system", "any"]).contains("29"))
    }
}
