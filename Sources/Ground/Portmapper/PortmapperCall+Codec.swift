import Addresses
import ONCRPC

/// Why a call's header can't be dispatched to a procedure of program 100000, or its arguments can't be decoded.
public enum DispatchFault: Error, Hashable, Sendable {
    case programUnavailable
    case programMismatch
    case procedureUnavailable
    case garbageArguments

    /// As RFC 5531, 9 names it.
    public var name: String {
        switch self {
        case .programUnavailable: "PROG_UNAVAIL"
        case .programMismatch: "PROG_MISMATCH"
        case .procedureUnavailable: "PROC_UNAVAIL"
        case .garbageArguments: "GARBAGE_ARGS"
        }
    }

    /// The reply body that RFC 5531, 9 requires.
    public var owed: Reply.Body {
        switch self {
        case .programUnavailable: .programUnavailable
        case .programMismatch:
            .programMismatch(low: PortmapperVersion.v2.rawValue, high: PortmapperVersion.v4.rawValue)
        case .procedureUnavailable: .procedureUnavailable
        case .garbageArguments: .garbageArguments
        }
    }
}

extension PortmapperCall {
    /// Decodes the arguments of the procedure in `header`, up to the last byte.
    public init(_ header: CallHeader, arguments decoder: inout XDRDecoder) throws(DispatchFault) {
        guard header.program == Program.portmapper.rawValue else { throw .programUnavailable }
        guard let version = PortmapperVersion(rawValue: header.version) else { throw .programMismatch }
        do {
            switch version {
            case .v2: self = try Self.version2(header.procedure, &decoder)
            case .v3: self = try Self.version3(header.procedure, &decoder)
            case .v4: self = try Self.version4(header.procedure, &decoder)
            }
            try decoder.finish()
        } catch let fault as DispatchFault {
            throw fault
        } catch {
            throw .garbageArguments
        }
    }

    private static func version2(_ procedure: UInt32, _ decoder: inout XDRDecoder) throws -> Self {
        switch procedure {
        case 0: .null(.v2)
        case 1: .setMapping(try Mapping(from: &decoder))
        case 2: .unsetMapping(try Mapping(from: &decoder))
        case 3: .getPort(try Mapping(from: &decoder))
        case 4: .dump(.v2)
        case 5: .callIt(.v2, try RemoteCall(from: &decoder))
        default: throw DispatchFault.procedureUnavailable
        }
    }

    private static func version3(_ procedure: UInt32, _ decoder: inout XDRDecoder) throws -> Self {
        switch procedure {
        case 5: .callIt(.v3, try RemoteCall(from: &decoder))
        case 0...8: try versions3And4(.v3, procedure, &decoder)
        default: throw DispatchFault.procedureUnavailable
        }
    }

    private static func version4(_ procedure: UInt32, _ decoder: inout XDRDecoder) throws -> Self {
        switch procedure {
        case 5: .broadcast(try RemoteCall(from: &decoder))
        case 0...8: try versions3And4(.v4, procedure, &decoder)
        case 9: .getVersionAddress(try RPCB(from: &decoder))
        case 10: .indirect(try RemoteCall(from: &decoder))
        case 11: .getAddressList(try RPCB(from: &decoder))
        case 12: .getStatistics
        default: throw DispatchFault.procedureUnavailable
        }
    }

    private static func versions3And4(
        _ version: PortmapperVersion, _ procedure: UInt32, _ decoder: inout XDRDecoder
    ) throws -> Self {
        switch procedure {
        case 0: return .null(version)
        case 1: return .set(version, try RPCB(from: &decoder))
        case 2: return .unset(version, try RPCB(from: &decoder))
        case 3: return .getAddress(version, try RPCB(from: &decoder))
        case 4: return .dump(version)
        case 6: return .getTime(version)
        case 7: return .universalToTransportAddress(version, try decoder.text(max: PortmapperLimits.addressBytesMax))
        case 8:
            // struct netbuf: maxlen, then the bytes (RFC 1833, 2.1).
            _ = try decoder.uint32()
            _ = try decoder.opaque(max: PortmapperLimits.addressBytesMax)
            return .transportToUniversalAddress(version)
        default: throw DispatchFault.procedureUnavailable
        }
    }

    /// Encodes the call as a message; CALLIT, BCAST and INDIRECT are encoded without arguments, and only the test
    /// tools send them.
    public func encoded(xid: UInt32) -> [UInt8] {
        var encoder = XDREncoder(reserving: 128)
        let header = CallHeader(
            xid: xid, program: Program.portmapper.rawValue, version: version.rawValue, procedure: procedureNumber)
        header.encode(into: &encoder)
        switch self {
        case .null, .dump, .getTime, .getStatistics: break
        case .setMapping(let mapping), .unsetMapping(let mapping), .getPort(let mapping):
            mapping.encode(into: &encoder)
        case .set(_, let rpcb), .unset(_, let rpcb), .getAddress(_, let rpcb), .getVersionAddress(let rpcb),
            .getAddressList(let rpcb):
            rpcb.encode(into: &encoder)
        case .callIt(_, let call), .broadcast(let call), .indirect(let call): call.encode(into: &encoder)
        case .universalToTransportAddress(_, let address): encoder.text(address)
        case .transportToUniversalAddress:
            encoder.uint32(0)
            encoder.opaque([])
        }
        return encoder.bytes
    }
}

extension Mapping {
    init(from decoder: inout XDRDecoder) throws(XDRError) {
        self.init(
            program: Program(try decoder.uint32()), version: try decoder.uint32(),
            protocolNumber: try decoder.uint32(), port: try decoder.uint32())
    }

    func encode(into encoder: inout XDREncoder) {
        for word in [program.rawValue, version, protocolNumber, port] { encoder.uint32(word) }
    }
}

extension RPCB {
    init(from decoder: inout XDRDecoder) throws(XDRError) {
        self.init(
            program: Program(try decoder.uint32()), version: try decoder.uint32(),
            netID: try decoder.text(max: PortmapperLimits.netIDBytesMax),
            address: try decoder.text(max: PortmapperLimits.addressBytesMax),
            owner: try decoder.text(max: PortmapperLimits.ownerBytesMax))
    }

    /// Decodes a registration listed by rpcbind: any local user chose these strings, so none may make the listing
    /// undecodable.
    init(repairing decoder: inout XDRDecoder) throws(XDRError) {
        self.init(
            program: Program(try decoder.uint32()), version: try decoder.uint32(),
            netID: try decoder.repairedText(keeping: PortmapperLimits.netIDBytesMax),
            address: try decoder.repairedText(keeping: PortmapperLimits.addressBytesMax),
            owner: try decoder.repairedText(keeping: PortmapperLimits.ownerBytesMax))
    }

    func encode(into encoder: inout XDREncoder) {
        encoder.uint32(program.rawValue)
        encoder.uint32(version)
        encoder.text(netID)
        encoder.text(address)
        encoder.text(owner)
    }
}

extension RemoteCall {
    init(from decoder: inout XDRDecoder) throws(XDRError) {
        self.init(
            program: Program(try decoder.uint32()), version: try decoder.uint32(), procedure: try decoder.uint32())
        _ = try decoder.opaque(max: decoder.remaining)
    }

    func encode(into encoder: inout XDREncoder) {
        for word in [program.rawValue, version, procedure] { encoder.uint32(word) }
        encoder.opaque([])
    }
}
