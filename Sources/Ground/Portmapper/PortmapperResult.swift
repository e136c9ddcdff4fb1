import ONCRPC

/// One entry of GETADDRLIST (RFC 1833, 2.1: rpcb_entry).
public struct AddressEntry: Hashable, Sendable {
    public var address: String
    public var netID: String
    public var semantics: UInt32
    public var protocolFamily: String
    public var protocolName: String

    public init(address: String, netID: String, semantics: UInt32, protocolFamily: String, protocolName: String) {
        self.address = address
        self.netID = netID
        self.semantics = semantics
        self.protocolFamily = protocolFamily
        self.protocolName = protocolName
    }
}

/// The result of a procedure of program 100000.
public enum PortmapperResult: Hashable, Sendable {
    case void
    case boolean(Bool)
    /// GETPORT; 0: not registered.
    case port(UInt32)
    /// GETADDR, GETVERSADDR; empty: not registered.
    case address(String)
    /// DUMP of version 2.
    case mappings([Mapping])
    /// DUMP of versions 3 and 4.
    case registrations([RPCB])
    case addressList([AddressEntry])

    public func encode(into encoder: inout XDREncoder) {
        switch self {
        case .void: break
        case .boolean(let value): encoder.bool(value)
        case .port(let port): encoder.uint32(port)
        case .address(let address): encoder.text(address)
        case .mappings(let list): encoder.linked(list) { $1.encode(into: &$0) }
        case .registrations(let list): encoder.linked(list) { $1.encode(into: &$0) }
        case .addressList(let list): encoder.linked(list) { $1.encode(into: &$0) }
        }
    }

    public var encoded: [UInt8] {
        var encoder = XDREncoder()
        encode(into: &encoder)
        return encoder.bytes
    }

    /// The reply with this result.
    public func reply(xid: UInt32) -> Reply {
        Reply(xid: xid, body: .success(encoded))
    }

    /// Decodes the result of `call`.
    public init(decoding bytes: UnsafeRawBufferPointer, of call: PortmapperCall) throws(XDRError) {
        var decoder = XDRDecoder(bytes)
        switch call {
        case .null: self = .void
        case .setMapping, .unsetMapping, .set, .unset: self = .boolean(try decoder.bool())
        case .getPort: self = .port(try decoder.uint32())
        case .getAddress, .getVersionAddress:
            self = .address(try decoder.repairedText(keeping: PortmapperLimits.addressBytesMax))
        case .dump(.v2):
            self = .mappings(try decoder.linked { (decoder) throws(XDRError) in try Mapping(from: &decoder) })
        case .dump:
            self = .registrations(try decoder.linked { (decoder) throws(XDRError) in try RPCB(repairing: &decoder) })
        case .getAddressList:
            self = .addressList(
                try decoder.linked { (decoder) throws(XDRError) in try AddressEntry(repairing: &decoder) })
        case .callIt, .broadcast, .indirect, .getTime, .universalToTransportAddress, .transportToUniversalAddress,
            .getStatistics:
            throw .invalid(call.procedureNumber)
        }
        try decoder.finish()
    }
}

extension AddressEntry {
    init(repairing decoder: inout XDRDecoder) throws(XDRError) {
        self.init(
            address: try decoder.repairedText(keeping: PortmapperLimits.addressBytesMax),
            netID: try decoder.repairedText(keeping: PortmapperLimits.netIDBytesMax),
            semantics: try decoder.uint32(),
            protocolFamily: try decoder.repairedText(keeping: PortmapperLimits.netIDBytesMax),
            protocolName: try decoder.repairedText(keeping: PortmapperLimits.netIDBytesMax))
    }

    func encode(into encoder: inout XDREncoder) {
        encoder.text(address)
        encoder.text(netID)
        encoder.uint32(semantics)
        encoder.text(protocolFamily)
        encoder.text(protocolName)
    }
}

/// RFC 1833's lists are linked: a TRUE before each item, a FALSE at the end (RFC 4506, 4.19).
extension XDREncoder {
    mutating func linked<Item>(_ items: [Item], _ encode: (inout XDREncoder, Item) -> Void) {
        for item in items {
            bool(true)
            encode(&self, item)
        }
        bool(false)
    }
}

extension XDRDecoder {
    /// Keeps the first ``PortmapperLimits/registrationsMax`` items, and reads the others to the end.
    mutating func linked<Item>(
        _ decode: (inout XDRDecoder) throws(XDRError) -> Item
    ) throws(XDRError) -> [Item] {
        var items: [Item] = []
        while try bool() {
            let item = try decode(&self)
            if items.count < PortmapperLimits.registrationsMax { items.append(item) }
        }
        return items
    }
}
