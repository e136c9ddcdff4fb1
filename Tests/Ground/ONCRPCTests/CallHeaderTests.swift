import ONCRPC
import Testing

/// A call of program 7, version 8, procedure 9.
private struct CallBytes {
    var xid: UInt32 = 0xdead_beef
    var messageType: UInt32 = 0
    var rpcVersion: UInt32 = 2
    var credential: [UInt8] = xdr(0, 0)
    var verifier: [UInt8] = xdr(0, 0)
    var arguments: [UInt8] = []

    static let header = CallHeader(xid: 0xdead_beef, program: 7, version: 8, procedure: 9)

    var bytes: [UInt8] { xdr(xid, messageType, rpcVersion, 7, 8, 9) + credential + verifier + arguments }
}

private func authSys(
    machineName: Int = 2, groups: UInt32 = 0, announced: UInt32? = nil, extra: [UInt8] = []
) -> [UInt8] {
    var body = xdr(0x1234) + opaque(count: machineName) + xdr(0, 0, announced ?? groups)
    for group in 0..<groups { body += xdr(group) }
    return xdr(1) + opaque(body + extra)
}

/// The header, and the number of argument bytes behind it.
private func header(_ bytes: [UInt8]) throws -> (CallHeader, Int) {
    try decode(bytes) { decoder in
        let header = try CallHeader(from: &decoder)
        return (header, decoder.remaining)
    }
}

@Suite("call header") struct CallHeaderTests {
    @Test("every truncated header is undecodable", arguments: 0..<40)
    func truncated(count: Int) {
        #expect(throws: CallFault.undecodable) { try header(Array(CallBytes().bytes.prefix(count))) }
    }

    @Test("a reply, and any other message type, is undecodable", arguments: [1, 2, UInt32.max])
    func notACall(type: UInt32) {
        #expect(throws: CallFault.undecodable) { try header(CallBytes(messageType: type).bytes) }
        #expect(CallFault.undecodable.owed == nil)
    }

    @Test("another version of RPC is told which one is served", arguments: [0, 1, 3, UInt32.max])
    func rpcVersion(version: UInt32) {
        let fault = CallFault.rpcMismatch(xid: 0xdead_beef)
        #expect(throws: fault) { try header(CallBytes(rpcVersion: version).bytes) }
        #expect(fault.owed == Reply(xid: 0xdead_beef, body: .rpcMismatch(low: 2, high: 2)))
    }

    @Test("another version of RPC is told so even where the rest is missing")
    func rpcVersionAlone() {
        #expect(throws: CallFault.rpcMismatch(xid: 5)) { try header(xdr(5, 0, 3)) }
    }

    @Test("a flavour that isn't served is rejected", arguments: [2, 3, 6, 390_004, UInt32.max])
    func unknownFlavor(flavor: UInt32) {
        let fault = CallFault.rejectedCredential(CallBytes.header)
        #expect(throws: fault) { try header(CallBytes(credential: xdr(flavor) + opaque(count: 20)).bytes) }
        #expect(fault.owed == Reply(xid: 0xdead_beef, body: .authError(.rejectedCredential)))
    }

    @Test("an AUTH_SYS body too short for any authsys_parms is a bad credential", arguments: [0, 4, 19])
    func badCredential(count: Int) {
        let fault = CallFault.badCredential(CallBytes.header)
        #expect(throws: fault) { try header(CallBytes(credential: xdr(1) + opaque(count: count)).bytes) }
        #expect(fault.owed == Reply(xid: 0xdead_beef, body: .authError(.badCredential)))
    }

    /// The last ones violate RFC 5531, but clients send them, and the daemon uses no part of the body.
    @Test(
        "any other AUTH_SYS body is taken",
        arguments: [
            authSys(), authSys(machineName: 0), authSys(machineName: 255), authSys(groups: 16),
            authSys(machineName: 255, groups: 16), authSys(extra: xdr(0)), authSys(extra: [0]),
            authSys(machineName: 0, extra: [1, 2, 3]), authSys(machineName: 256), authSys(groups: 17),
            authSys(groups: 1, announced: 2), xdr(1) + opaque(xdr(0, UInt32.max, 0, 0, 0)),
            xdr(1) + opaque(count: 400),
        ])
    func goodAuthSys(credential: [UInt8]) throws {
        let (found, rest) = try header(CallBytes(credential: credential, arguments: xdr(1, 2)).bytes)
        #expect(found == CallBytes.header)
        #expect(rest == 8)
    }

    @Test("a credential or verifier of 401 bytes is undecodable", arguments: [401, 404, 4096])
    func bodyTooLong(count: Int) {
        for flavor: UInt32 in [0, 1, 6] {
            let body = xdr(flavor) + opaque(count: count)
            #expect(throws: CallFault.undecodable) { try header(CallBytes(credential: body).bytes) }
            #expect(throws: CallFault.undecodable) { try header(CallBytes(verifier: body).bytes) }
        }
    }

    @Test("a length near 4 GiB is undecodable", arguments: [0x7fff_ffff, 0xffff_fff0, UInt32.max])
    func lengthNear4GiB(length: UInt32) {
        #expect(throws: CallFault.undecodable) { try header(CallBytes(credential: xdr(0, length)).bytes) }
        #expect(throws: CallFault.undecodable) { try header(CallBytes(verifier: xdr(0, length)).bytes) }
    }

    @Test("bodies of 400 bytes are within the limit")
    func bodyAtLimit() throws {
        let body = xdr(0) + opaque(count: 400)
        #expect(try header(CallBytes(credential: body, verifier: body).bytes).0 == CallBytes.header)
        #expect(throws: CallFault.rejectedCredential(CallBytes.header)) {
            try header(CallBytes(credential: xdr(6) + opaque(count: 400)).bytes)
        }
    }

    @Test("a verifier of any flavour is passed over", arguments: [0, 1, 3, 6, UInt32.max])
    func verifierFlavor(flavor: UInt32) throws {
        let verifier = xdr(flavor) + opaque(count: 17)
        #expect(try header(CallBytes(verifier: verifier, arguments: xdr(1)).bytes) == (CallBytes.header, 4))
    }

    @Test("an encoded header carries AUTH_NONE and decodes to itself")
    func roundTrip() throws {
        var encoder = XDREncoder()
        CallBytes.header.encode(into: &encoder)
        #expect(encoder.bytes == CallBytes().bytes)
        #expect(try header(encoder.bytes) == (CallBytes.header, 0))
    }

    @Test("no flip of a byte traps")
    func flips() {
        let bytes = CallBytes(credential: authSys(machineName: 5, groups: 3), arguments: xdr(1, 2)).bytes
        for index in bytes.indices {
            for value in UInt8.min...UInt8.max {
                var changed = bytes
                changed[index] = value
                _ = try? header(changed)
            }
        }
    }
}
