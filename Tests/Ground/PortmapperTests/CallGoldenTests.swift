import Addresses
import ONCRPC
import Portmapper
import Testing

/// A golden call with its meaning.
struct CallGolden: Sendable, CustomTestStringConvertible {
    var name: String
    var call: PortmapperCall
    /// Encoding the call gives the golden bytes: AUTH_NONE, and no arguments that decoding drops.
    var encodes: Bool

    init(_ name: String, _ call: PortmapperCall, encodes: Bool = true) {
        self.name = name
        self.call = call
        self.encodes = encodes
    }

    var testDescription: String { name }

    private static let remote = RemoteCall(program: .mountd, version: 3, procedure: 0)
    private static let unregistered = rpcb(400_001, 2, "udp", "10.77.1.1.0.111")
    private static let registered = rpcb(400_001, 1, "tcp", "0.0.0.0.15.160", "superuser")
    private static let showmount = rpcb(100_005, 3, "tcp", "10.77.1.1.0.111", "libtirpc")
    private static let overUDP = rpcb(100_003, 3, "udp", "10.77.1.1.0.111", "libtirpc")
    private static let overTCP6 = rpcb(100_003, 3, "tcp6", "fd77:1::1.0.111", "libtirpc")

    static let all = version2 + version3 + version4

    private static let version2: [CallGolden] = [
        .init("call-v2-null", .null(.v2)),
        .init("call-v2-null-libnfs", .null(.v2), encodes: false),
        .init("call-v2-set", .setMapping(mapping(400_001, 1, .tcp, 4000))),
        .init(
            "call-v2-unset", .unsetMapping(Mapping(program: Program(400_001), version: 1, protocolNumber: 0, port: 0))),
        .init("call-v2-getport", .getPort(mapping(400_009, 1, .tcp, 0))),
        .init("call-v2-getport-mountd-libnfs", .getPort(mapping(100_005, 3, .tcp, 0)), encodes: false),
        .init("call-v2-getport-nfs-libnfs", .getPort(mapping(100_003, 3, .tcp, 0)), encodes: false),
        .init("call-v2-dump-rpcinfo", .dump(.v2)),
        .init("call-v2-callit", .callIt(.v2, remote)),
        .init("call-v2-callit-rpcinfo", .callIt(.v2, remote), encodes: false),
    ]

    private static let version3: [CallGolden] = [
        .init("call-v3-null", .null(.v3)),
        .init("call-v3-set", .set(.v3, registered)),
        .init("call-v3-unset", .unset(.v3, rpcb(400_001, 1, "", "", "superuser"))),
        .init("call-v3-getaddr", .getAddress(.v3, rpcb(400_001, 1, "tcp", "10.77.1.1.0.111", "labpeer"))),
        .init("call-v3-dump-rpcinfo", .dump(.v3)),
        .init("call-v3-callit", .callIt(.v3, remote)),
        .init("call-v3-callit-rpcinfo", .callIt(.v3, remote), encodes: false),
        .init("call-v3-gettime", .getTime(.v3)),
        .init("call-v3-uaddr2taddr", .universalToTransportAddress(.v3, "10.77.1.1.0.111")),
        .init("call-v3-taddr2uaddr", .transportToUniversalAddress(.v3), encodes: false),
        .init("call-v3-taddr2uaddr-empty", .transportToUniversalAddress(.v3)),
    ]

    private static let version4: [CallGolden] = [
        .init("call-v4-null", .null(.v4)),
        .init("call-v4-set", .set(.v4, rpcb(400_001, 2, "udp", "0.0.0.0.15.161", "superuser"))),
        .init("call-v4-unset", .unset(.v4, rpcb(400_001, 2, "udp", "", "superuser"))),
        .init("call-v4-getaddr-udp-rpcinfo", .getAddress(.v4, overUDP)),
        .init("call-v4-getaddr-tcp6-rpcinfo", .getAddress(.v4, overTCP6)),
        .init(
            "call-v4-getaddr-portmapper-rpcinfo",
            .getAddress(.v4, rpcb(100_000, 2, "tcp", "10.77.1.1.0.111", "libtirpc"))),
        .init("call-v4-getaddr-showmount", .getAddress(.v4, showmount)),
        .init("call-v4-dump", .dump(.v4)),
        .init("call-v4-bcast", .broadcast(remote)),
        .init("call-v4-gettime", .getTime(.v4)),
        .init("call-v4-uaddr2taddr", .universalToTransportAddress(.v4, "10.77.1.1.0.111")),
        .init("call-v4-taddr2uaddr", .transportToUniversalAddress(.v4), encodes: false),
        .init("call-v4-taddr2uaddr-empty", .transportToUniversalAddress(.v4)),
        .init("call-v4-getversaddr", .getVersionAddress(unregistered)),
        .init("call-v4-indirect", .indirect(remote)),
        .init(
            "call-v4-indirect-arguments", .indirect(RemoteCall(program: .mountd, version: 3, procedure: 1)),
            encodes: false),
        .init("call-v4-getaddrlist-rpcinfo", .getAddressList(rpcb(100_005, 3, "tcp", "10.77.1.1.0.111"))),
        .init("call-v4-getstat-rpcinfo", .getStatistics),
    ]
}

@Suite("golden calls") struct CallGoldenTests {
    @Test("every golden call has its expected value here")
    func complete() throws {
        #expect(try goldenNames("call-") == Set(CallGolden.all.map(\.name)))
    }

    @Test("every procedure of every version has a golden call")
    func everyProcedure() {
        let present = Set(CallGolden.all.map { [$0.call.version.rawValue, $0.call.procedureNumber] })
        var wanted: Set<[UInt32]> = []
        for (version, last) in [(2, 5), (3, 8), (4, 12)] as [(UInt32, UInt32)] {
            for procedure in 0...last { wanted.insert([version, procedure]) }
        }
        #expect(present == wanted)
    }

    @Test("its procedure has the name by which the log tells it", arguments: CallGolden.all)
    func name(golden: CallGolden) {
        let call = golden.call
        #expect(ProcedureName(call.version, number: call.procedureNumber) == call.procedureName)
    }

    @Test("numbers beyond a version's procedures have no name")
    func nameless() {
        for (version, number) in [(.v2, 6), (.v3, 9), (.v4, 13), (.v4, .max)] as [(PortmapperVersion, UInt32)] {
            #expect(ProcedureName(version, number: number) == nil)
        }
    }

    @Test("decodes to its value", arguments: CallGolden.all)
    func decodes(golden sample: CallGolden) throws {
        let (header, call) = try decodedCall(golden(sample.name))
        #expect(call == sample.call)
        #expect(header.program == Program.portmapper.rawValue)
        #expect(header.version == call.version.rawValue)
        #expect(header.procedure == call.procedureNumber)
    }

    @Test("encodes to the same bytes", arguments: CallGolden.all.filter(\.encodes))
    func encodes(golden sample: CallGolden) throws {
        let bytes = try golden(sample.name)
        #expect(sample.call.encoded(xid: try decodedCall(bytes).header.xid) == bytes)
    }

    @Test(
        "every truncated prefix fails: in the header without an answer, behind it as garbage", arguments: CallGolden.all
    )
    func truncated(golden sample: CallGolden) throws {
        let bytes = try golden(sample.name)
        let headerCount = try bytes.withUnsafeBytes { raw in
            var decoder = XDRDecoder(raw)
            _ = try CallHeader(from: &decoder)
            return bytes.count - decoder.remaining
        }
        for count in 0..<bytes.count {
            let prefix = Array(bytes.prefix(count))
            if count < headerCount {
                #expect(throws: CallFault.undecodable) { try decodedCall(prefix) }
            } else {
                #expect(throws: DispatchFault.garbageArguments) { try decodedCall(prefix) }
            }
        }
    }

    @Test("trailing bytes are garbage", arguments: CallGolden.all)
    func trailing(golden sample: CallGolden) throws {
        let bytes = try golden(sample.name)
        #expect(throws: DispatchFault.garbageArguments) { try decodedCall(bytes + xdr(0)) }
        #expect(throws: DispatchFault.garbageArguments) { try decodedCall(bytes + [0]) }
    }

    @Test("no flip of a byte traps, and what still decodes encodes and decodes to itself", arguments: CallGolden.all)
    func flips(golden sample: CallGolden) throws {
        let bytes = try golden(sample.name)
        for index in bytes.indices {
            for mask: UInt8 in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff] {
                var changed = bytes
                changed[index] ^= mask
                guard let (header, call) = try? decodedCall(changed) else { continue }
                #expect(try decodedCall(call.encoded(xid: header.xid)).call == call)
            }
        }
    }
}
