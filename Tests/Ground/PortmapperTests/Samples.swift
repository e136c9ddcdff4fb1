import Addresses
import ONCRPC
import Portmapper

/// The words encoded as XDR.
func xdr(_ words: UInt32...) -> [UInt8] {
    var encoder = XDREncoder()
    for word in words { encoder.uint32(word) }
    return encoder.bytes
}

func xdr(text: String) -> [UInt8] {
    var encoder = XDREncoder()
    encoder.text(text)
    return encoder.bytes
}

func xdr(opaque bytes: [UInt8]) -> [UInt8] {
    var encoder = XDREncoder()
    encoder.opaque(bytes)
    return encoder.bytes
}

/// A portmapper call with AUTH_NONE.
func callBytes(
    program: UInt32 = 100_000, version: UInt32, procedure: UInt32, arguments: [UInt8] = []
) -> [UInt8] {
    var encoder = XDREncoder()
    CallHeader(xid: 1, program: program, version: version, procedure: procedure).encode(into: &encoder)
    return encoder.bytes + arguments
}

/// Decodes a message as the daemon does: the header, then the call that it announces.
func decodedCall(_ bytes: [UInt8]) throws -> (header: CallHeader, call: PortmapperCall) {
    try bytes.withUnsafeBytes { raw in
        var decoder = XDRDecoder(raw)
        let header = try CallHeader(from: &decoder)
        return (header, try PortmapperCall(header, arguments: &decoder))
    }
}

func decodedReply(_ bytes: [UInt8]) throws -> Reply {
    try bytes.withUnsafeBytes { try Reply(decoding: $0) }
}

func decodedResult(_ results: [UInt8], of call: PortmapperCall) throws -> PortmapperResult {
    try results.withUnsafeBytes { try PortmapperResult(decoding: $0, of: call) }
}

func rpcb(_ program: UInt32, _ version: UInt32, _ netID: String, _ address: String, _ owner: String = "") -> RPCB {
    RPCB(program: Program(program), version: version, netID: netID, address: address, owner: owner)
}

func mapping(_ program: UInt32, _ version: UInt32, _ transport: Transport, _ port: UInt32) -> Mapping {
    Mapping(program: Program(program), version: version, protocolNumber: UInt32(transport.rawValue), port: port)
}
