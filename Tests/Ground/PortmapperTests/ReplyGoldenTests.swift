import ONCRPC
import Portmapper
import Testing

/// A golden reply with the call that it answers, and its meaning.
struct ReplyGolden: Sendable, CustomTestStringConvertible {
    var name: String
    var call: PortmapperCall
    var result: PortmapperResult

    init(_ name: String, to call: PortmapperCall, _ result: PortmapperResult) {
        self.name = name
        self.call = call
        self.result = result
    }

    var testDescription: String { name }

    private static let lookup = rpcb(100_003, 3, "", "")

    static let all: [ReplyGolden] = [
        .init("reply-v2-null", to: .null(.v2), .void),
        .init("reply-v3-null", to: .null(.v3), .void),
        .init("reply-v2-set", to: .setMapping(mapping(400_001, 1, .tcp, 4000)), .boolean(true)),
        .init("reply-v2-unset", to: .unsetMapping(mapping(400_001, 1, .tcp, 0)), .boolean(true)),
        .init("reply-v3-set", to: .set(.v3, lookup), .boolean(true)),
        .init("reply-v2-getport-mountd", to: .getPort(mapping(100_005, 3, .tcp, 0)), .port(42355)),
        .init("reply-v2-getport-nfs", to: .getPort(mapping(100_003, 3, .tcp, 0)), .port(2049)),
        .init("reply-v2-getport-none", to: .getPort(mapping(100_003, 3, .tcp, 0)), .port(0)),
        .init("reply-v4-getaddr-udp", to: .getAddress(.v4, lookup), .address("10.77.1.1.8.1")),
        .init("reply-v4-getaddr-tcp6", to: .getAddress(.v4, lookup), .address("fd77:1::1.8.1")),
        .init("reply-v3-getaddr-none", to: .getAddress(.v3, lookup), .address("")),
        .init("reply-v4-getversaddr", to: .getVersionAddress(lookup), .address("10.77.1.1.15.161")),
        .init("reply-v4-getversaddr-none", to: .getVersionAddress(lookup), .address("")),
        .init(
            "reply-v4-getaddrlist", to: .getAddressList(lookup),
            .addressList([entry("10.77.1.1.200.97", .udp), entry("10.77.1.1.165.115", .tcp)])),
        .init("reply-v4-getaddrlist-none", to: .getAddressList(lookup), .addressList([])),
        .init("reply-v2-dump", to: .dump(.v2), .mappings(ganeshaMappings)),
        .init("reply-empty-dump", to: .dump(.v2), .mappings([])),
        .init(
            "reply-v4-dump", to: .dump(.v4),
            .registrations(rpcbindAlone + [rpcb(400_001, 2, "udp", "0.0.0.0.15.161", "superuser")])),
    ]

    private static func entry(_ address: String, _ netID: NetID) -> AddressEntry {
        AddressEntry(
            address: address, netID: netID.rawValue, semantics: netID.semantics, protocolFamily: netID.protocolFamily,
            protocolName: netID.protocolName)
    }

    /// The output of rpcinfo -p at the time of the capture.
    private static let ganeshaMappings: [Mapping] = [
        mapping(100_000, 4, .tcp, 111), mapping(100_000, 3, .tcp, 111), mapping(100_000, 2, .tcp, 111),
        mapping(100_000, 4, .udp, 111), mapping(100_000, 3, .udp, 111), mapping(100_000, 2, .udp, 111),
        mapping(200_001, 1, .tcp, 5121), mapping(200_001, 1, .udp, 5121), mapping(200_002, 1, .tcp, 999),
        mapping(100_003, 3, .udp, 2049), mapping(100_003, 3, .tcp, 2049), mapping(100_005, 1, .udp, 51297),
        mapping(100_005, 1, .tcp, 42355), mapping(100_005, 3, .udp, 51297), mapping(100_005, 3, .tcp, 42355),
        mapping(100_021, 4, .udp, 53008), mapping(100_021, 4, .tcp, 43227), mapping(100_003, 4, .udp, 2049),
        mapping(100_003, 4, .tcp, 2049), mapping(100_011, 1, .udp, 875), mapping(100_011, 1, .tcp, 875),
        mapping(100_011, 2, .udp, 875), mapping(100_011, 2, .tcp, 875),
    ]

    /// The entries of a stock rpcbind for itself.
    private static let rpcbindAlone: [RPCB] = [
        rpcb(100_000, 4, "tcp6", "::.0.111", "superuser"), rpcb(100_000, 3, "tcp6", "::.0.111", "superuser"),
        rpcb(100_000, 4, "udp6", "::.0.111", "superuser"), rpcb(100_000, 3, "udp6", "::.0.111", "superuser"),
        rpcb(100_000, 4, "tcp", "0.0.0.0.0.111", "superuser"), rpcb(100_000, 3, "tcp", "0.0.0.0.0.111", "superuser"),
        rpcb(100_000, 2, "tcp", "0.0.0.0.0.111", "superuser"), rpcb(100_000, 4, "udp", "0.0.0.0.0.111", "superuser"),
        rpcb(100_000, 3, "udp", "0.0.0.0.0.111", "superuser"), rpcb(100_000, 2, "udp", "0.0.0.0.0.111", "superuser"),
        rpcb(100_000, 4, "local", "/run/rpcbind.sock", "superuser"),
        rpcb(100_000, 3, "local", "/run/rpcbind.sock", "superuser"),
    ]
}

/// Golden replies that refuse the call, or with results that the daemon does not serve.
private let refusals: [(name: String, body: Reply.Body)] = [
    ("reply-error-program", .programUnavailable),
    ("reply-error-version", .programMismatch(low: 2, high: 4)),
    ("reply-error-procedure", .procedureUnavailable),
    ("reply-error-garbage", .garbageArguments),
    ("reply-error-system", .systemError),
    ("reply-error-auth-tooweak", .authError(.tooWeak)),
    ("reply-error-auth-failed", .authError(.failed)),
    ("reply-error-rpc-mismatch", .rpcMismatch(low: 2, high: 2)),
]

private func results(of bytes: [UInt8]) throws -> [UInt8] {
    guard case .success(let results) = try decodedReply(bytes).body else { throw XDRError.truncated }
    return results
}

@Suite("golden replies") struct ReplyGoldenTests {
    @Test("every golden reply has its expected value here")
    func complete() throws {
        let expected = ReplyGolden.all.map(\.name) + refusals.map(\.name) + ["reply-v4-getstat", "reply-v3-dump"]
        #expect(try goldenNames("reply-") == Set(expected))
    }

    @Test("a refusal decodes, and encodes to the same bytes", arguments: refusals)
    func refusal(name: String, body: Reply.Body) throws {
        let bytes = try golden(name)
        let reply = try decodedReply(bytes)
        #expect(reply.body == body)
        #expect(reply.encoded == bytes)
    }

    @Test("a result decodes, and encodes to the same bytes", arguments: ReplyGolden.all)
    func result(golden sample: ReplyGolden) throws {
        let bytes = try golden(sample.name)
        #expect(try decodedResult(results(of: bytes), of: sample.call) == sample.result)
        #expect(sample.result.reply(xid: try decodedReply(bytes).xid).encoded == bytes)
    }

    @Test("the list that rpcinfo shows over IPv6 decodes, and encodes to the same bytes")
    func version3Dump() throws {
        let bytes = try golden("reply-v3-dump")
        let result = try decodedResult(results(of: bytes), of: .dump(.v3))
        guard case .registrations(let list) = result else {
            Issue.record("not a list of registrations: \(result)")
            return
        }
        #expect(list.count == 44)
        #expect(list.first == rpcb(100_000, 4, "tcp6", "::.0.111", "superuser"))
        #expect(list.last == rpcb(100_011, 2, "tcp6", "::.3.107", "superuser"))
        #expect(list.contains(rpcb(100_003, 3, "tcp", "0.0.0.0.8.1", "superuser")))
        #expect(result.reply(xid: try decodedReply(bytes).xid).encoded == bytes)
    }

    @Test("a result cut short anywhere is refused", arguments: ReplyGolden.all)
    func truncated(golden sample: ReplyGolden) throws {
        let results = try results(of: golden(sample.name))
        for count in 0..<results.count {
            #expect(throws: XDRError.truncated) { try decodedResult(Array(results.prefix(count)), of: sample.call) }
        }
    }

    @Test("bytes behind a result are refused", arguments: ReplyGolden.all)
    func trailing(golden sample: ReplyGolden) throws {
        let results = try results(of: golden(sample.name))
        #expect(throws: XDRError.trailing(4)) { try decodedResult(results + xdr(0), of: sample.call) }
        #expect(throws: XDRError.trailing(1)) { try decodedResult(results + [0], of: sample.call) }
    }

    @Test(
        "no flip of a byte traps",
        arguments: ReplyGolden.all.map { ($0.name, $0.call) } + [("reply-v3-dump", .dump(.v3))])
    func flips(name: String, call: PortmapperCall) throws {
        let bytes = try golden(name)
        let masks: [UInt8] = bytes.count > 500 ? [0x01, 0x80, 0xff] : [1, 2, 4, 8, 16, 32, 64, 128, 255]
        for index in bytes.indices {
            for mask in masks {
                var changed = bytes
                changed[index] ^= mask
                guard case .success(let results) = try? decodedReply(changed).body else { continue }
                guard let result = try? decodedResult(results, of: call) else { continue }
                #expect(try decodedResult(result.encoded, of: call) == result)
            }
        }
    }

    @Test(
        "results of procedures that are not served are refused",
        arguments: [
            PortmapperCall.getStatistics, .getTime(.v3), .getTime(.v4), .universalToTransportAddress(.v4, ""),
            .transportToUniversalAddress(.v3), .indirect(RemoteCall(program: .nfs, version: 3, procedure: 0)),
        ])
    func notServed(call: PortmapperCall) throws {
        let statistics = try results(of: golden("reply-v4-getstat"))
        #expect(throws: XDRError.invalid(call.procedureNumber)) { try decodedResult(statistics, of: call) }
    }
}
