import ONCRPC
import Portmapper
import Testing

/// One `rpcb` of a list, its strings as bytes.
private func item(program: UInt32 = 100_003, netID: [UInt8], address: [UInt8], owner: [UInt8]) -> [UInt8] {
    xdr(1, program, 3) + xdr(opaque: netID) + xdr(opaque: address) + xdr(opaque: owner)
}

@Suite("hostile results") struct HostileResultTests {
    @Test("a list with hostile strings decodes, with the strings repaired and cut")
    func hostileStrings() throws {
        let list =
            item(
                netID: Array("tcp".utf8), address: Array("0.0.0.0.8.1".utf8),
                owner: [UInt8](repeating: 0x78, count: 9000))
            + item(netID: [0xff, 0x00, 0x74], address: Array("1.2\n".utf8), owner: Array("r\u{1b}[2Jé".utf8))
            + item(netID: [UInt8](repeating: 0x74, count: 65), address: [UInt8](repeating: 0x31, count: 300), owner: [])
            + xdr(0)
        let expected: [RPCB] = [
            rpcb(100_003, 3, "tcp", "0.0.0.0.8.1", String(repeating: "x", count: PortmapperLimits.ownerBytesMax)),
            rpcb(100_003, 3, "??t", "1.2?", "r?[2J??"),
            rpcb(
                100_003, 3, String(repeating: "t", count: PortmapperLimits.netIDBytesMax),
                String(repeating: "1", count: PortmapperLimits.addressBytesMax)),
        ]
        #expect(try decodedResult(list, of: .dump(.v3)) == .registrations(expected))
        #expect(try decodedResult(list, of: .dump(.v4)) == .registrations(expected))
    }

    @Test("an address with hostile bytes decodes, repaired and cut")
    func hostileAddress() throws {
        let call = PortmapperCall.getAddress(.v4, rpcb(100_003, 3, "", ""))
        #expect(try decodedResult(xdr(opaque: [0x31, 0x00, 0xc3]), of: call) == .address("1??"))
        let long = xdr(opaque: [UInt8](repeating: 0x31, count: 4000))
        let cut = String(repeating: "1", count: PortmapperLimits.addressBytesMax)
        #expect(try decodedResult(long, of: call) == .address(cut))
    }

    @Test("an address list with hostile strings decodes, repaired")
    func hostileAddressList() throws {
        let hostile = xdr(opaque: [0x80])
        let list = xdr(1) + hostile + hostile + xdr(7) + hostile + hostile + xdr(0)
        let entry = AddressEntry(address: "?", netID: "?", semantics: 7, protocolFamily: "?", protocolName: "?")
        #expect(try decodedResult(list, of: .getAddressList(rpcb(1, 1, "", ""))) == .addressList([entry]))
    }

    @Test("of a list beyond the limit, the first items are kept", arguments: [-1, 0, 1, 100])
    func longList(excess: Int) throws {
        var encoder = XDREncoder()
        for number in 0..<PortmapperLimits.registrationsMax + excess {
            for word in [1, UInt32(number), 3, 6, 2049] { encoder.uint32(word) }
        }
        encoder.uint32(0)
        guard case .mappings(let list) = try decodedResult(encoder.bytes, of: .dump(.v2)) else {
            Issue.record("not a list of mappings")
            return
        }
        #expect(list.count == min(PortmapperLimits.registrationsMax, PortmapperLimits.registrationsMax + excess))
        #expect(list.first?.program.rawValue == 0)
        #expect(list.last?.program.rawValue == UInt32(list.count - 1))
    }

    @Test("a list beyond the limit must still end well")
    func longListEnds() {
        var encoder = XDREncoder()
        for _ in 0...PortmapperLimits.registrationsMax {
            for word: UInt32 in [1, 1, 3, 6, 2049] { encoder.uint32(word) }
        }
        #expect(throws: XDRError.truncated) { try decodedResult(encoder.bytes, of: .dump(.v2)) }
        #expect(throws: XDRError.invalid(9)) { try decodedResult(encoder.bytes + xdr(9), of: .dump(.v2)) }
        #expect(throws: XDRError.trailing(4)) { try decodedResult(encoder.bytes + xdr(0, 0), of: .dump(.v2)) }
    }

    @Test("a Boolean result is 0 or 1")
    func boolean() {
        let call = PortmapperCall.setMapping(mapping(1, 1, .tcp, 1))
        #expect(throws: XDRError.invalid(2)) { try decodedResult(xdr(2), of: call) }
    }

    @Test("a string length near 4 GiB fails without allocation", arguments: [0x7fff_ffff, 0xffff_fffc, UInt32.max])
    func lengthNear4GiB(length: UInt32) {
        let bytes = xdr(1, 100_003, 3, length, 0, 0)
        #expect(throws: XDRError.self) { try decodedResult(bytes, of: .dump(.v4)) }
        #expect(throws: XDRError.self) { try decodedResult(xdr(length, 0), of: .getAddress(.v4, rpcb(1, 1, "", ""))) }
    }
}
