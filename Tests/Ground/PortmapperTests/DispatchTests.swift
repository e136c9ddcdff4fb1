import ONCRPC
import Portmapper
import Testing

@Suite("dispatch") struct DispatchTests {
    @Test("another program is unavailable", arguments: [0, 99_999, 100_001, 104_316, UInt32.max])
    func program(number: UInt32) {
        #expect(throws: DispatchFault.programUnavailable) {
            try decodedCall(callBytes(program: number, version: 2, procedure: 0))
        }
        #expect(DispatchFault.programUnavailable.owed == .programUnavailable)
    }

    @Test("versions other than 2, 3 and 4 are told the range", arguments: [0, 1, 5, 104_316, UInt32.max])
    func version(number: UInt32) {
        #expect(throws: DispatchFault.programMismatch) { try decodedCall(callBytes(version: number, procedure: 0)) }
        #expect(DispatchFault.programMismatch.owed == .programMismatch(low: 2, high: 4))
    }

    @Test(
        "procedures that a version lacks are unavailable, whatever their arguments",
        arguments: [(2, 6), (2, 9), (3, 9), (3, 12), (4, 13), (2, UInt32.max), (3, UInt32.max), (4, UInt32.max)]
            as [(UInt32, UInt32)])
    func procedure(version: UInt32, procedure: UInt32) {
        for arguments in [[], xdr(1, 2, 3, 4), [UInt8](repeating: 0xff, count: 7)] {
            #expect(throws: DispatchFault.procedureUnavailable) {
                try decodedCall(callBytes(version: version, procedure: procedure, arguments: arguments))
            }
        }
        #expect(DispatchFault.procedureUnavailable.owed == .procedureUnavailable)
    }

    /// Procedures whose arguments start with a string, or contain one behind `skip` words.
    static let withStrings: [(version: UInt32, procedure: UInt32, skip: Int)] = [
        (2, 5, 3), (3, 5, 3), (4, 5, 3), (4, 10, 3), (3, 1, 2), (3, 2, 2), (3, 3, 2), (4, 9, 2), (4, 11, 2), (3, 7, 0),
        (3, 8, 1),
    ]

    @Test("CVE-2017-8779: a length near 4 GiB is garbage, and nothing is allocated for it", arguments: withStrings)
    func lengthNear4GiB(version: UInt32, procedure: UInt32, skip: Int) {
        let before = [UInt8](repeating: 0, count: 4 * skip)
        for length: UInt32 in [0x7fff_ffff, 0x8000_0000, 0xffff_fff0, 0xffff_fffc, 0xffff_fffd, UInt32.max] {
            for after in [[], xdr(0, 0, 0, 0)] {
                let bytes = callBytes(version: version, procedure: procedure, arguments: before + xdr(length) + after)
                #expect(throws: DispatchFault.garbageArguments) { try decodedCall(bytes) }
            }
        }
        #expect(DispatchFault.garbageArguments.owed == .garbageArguments)
    }

    private func lookup(netID: String = "tcp", address: String = "", owner: String = "") throws -> PortmapperCall {
        let strings = xdr(text: netID) + xdr(text: address) + xdr(text: owner)
        return try decodedCall(callBytes(version: 4, procedure: 3, arguments: xdr(100_003, 3) + strings)).call
    }

    @Test("strings beyond their limits are garbage; strings at their limits are not")
    func stringLimits() throws {
        let text = { (count: Int) in String(repeating: "a", count: count) }
        #expect(throws: DispatchFault.garbageArguments) { try lookup(netID: text(PortmapperLimits.netIDBytesMax + 1)) }
        #expect(throws: DispatchFault.garbageArguments) {
            try lookup(address: text(PortmapperLimits.addressBytesMax + 1))
        }
        #expect(throws: DispatchFault.garbageArguments) { try lookup(owner: text(PortmapperLimits.ownerBytesMax + 1)) }
        let longest = rpcb(
            100_003, 3, text(PortmapperLimits.netIDBytesMax), text(PortmapperLimits.addressBytesMax),
            text(PortmapperLimits.ownerBytesMax))
        #expect(
            try lookup(netID: longest.netID, address: longest.address, owner: longest.owner)
                == .getAddress(.v4, longest))
    }

    @Test(
        "strings that aren't printable ASCII are garbage",
        arguments: ["tcp\n", "tcp\0", "tcp\u{1b}[2J", "tcpé", "\u{7f}"])
    func unprintable(text: String) {
        #expect(throws: DispatchFault.garbageArguments) { try lookup(netID: text) }
        #expect(throws: DispatchFault.garbageArguments) { try lookup(address: text) }
        #expect(throws: DispatchFault.garbageArguments) { try lookup(owner: text) }
    }

    @Test("the arguments of a remote call are bounded by the message alone")
    func remoteCallArguments() throws {
        let arguments = xdr(100_005, 3, 5) + xdr(opaque: [UInt8](repeating: 7, count: 3001))
        let call = try decodedCall(callBytes(version: 2, procedure: 5, arguments: arguments)).call
        #expect(call == .callIt(.v2, RemoteCall(program: .mountd, version: 3, procedure: 5)))
    }

    @Test("a call says what it is about", arguments: CallGolden.all)
    func subject(golden sample: CallGolden) {
        switch sample.call {
        case .null, .dump, .getTime, .universalToTransportAddress, .transportToUniversalAddress, .getStatistics:
            #expect(sample.call.subject == nil)
        default:
            let program = sample.call.subject?.program.rawValue ?? 0
            #expect([100_000, 100_003, 100_005, 400_001, 400_009].contains(program))
        }
    }

    @Test("only tcp and udp are transports of a mapping")
    func transports() {
        let transport = { Mapping(program: .nfs, version: 3, protocolNumber: $0, port: 0).transport }
        #expect(transport(6) == .tcp)
        #expect(transport(17) == .udp)
        for number: UInt32 in [0, 1, 58, 255, 262, 256 + 17, UInt32.max] { #expect(transport(number) == nil) }
    }
}
