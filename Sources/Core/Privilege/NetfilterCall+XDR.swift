import Addresses
import Firewall
import ONCRPC

extension NetfilterCall {
    /// The call as XDR (RFC 4506), without the length that precedes it.
    public var encoded: [UInt8] {
        var encoder = XDREncoder()
        switch self {
        case .commit(let transaction):
            encoder.uint32(0)
            encoder.transaction(transaction)
        case .contents: encoder.uint32(1)
        case .lifetimes(let keys):
            encoder.uint32(2)
            encoder.list(keys) { $0.grantKey($1) }
        case .cut(let cuts):
            encoder.uint32(3)
            encoder.list(cuts) { encoder, cut in
                encoder.service(cut.key)
                encoder.list(cut.value) { $0.range($1) }
            }
        case .events: encoder.uint32(4)
        case .reload: encoder.uint32(5)
        case .drops: encoder.uint32(6)
        case .uses(let keys):
            encoder.uint32(7)
            encoder.list(keys) { $0.grantKey($1) }
        case .enforce: encoder.uint32(8)
        case .guarded: encoder.uint32(9)
        }
        return encoder.bytes
    }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(XDRError) {
        var decoder = XDRDecoder(bytes)
        self = try Self.read(&decoder)
        try decoder.finish()
    }

    private static func read(_ decoder: inout XDRDecoder) throws(XDRError) -> Self {
        switch try decoder.uint32() {
        case 0: return .commit(try decoder.transaction())
        case 1: return .contents
        case 2: return .lifetimes(try decoder.grantKeys())
        case 3: return .cut(try decoder.cuts())
        case 4: return .events
        case 5: return .reload
        case 6: return .drops
        case 7: return .uses(try decoder.grantKeys())
        case 8: return .enforce
        case 9: return .guarded
        case let other: throw .invalid(other)
        }
    }
}

extension XDRDecoder {
    fileprivate mutating func grantKeys() throws(XDRError) -> [GrantKey] {
        try list(max: MessageLimits.elementsMax, itemBytesMin: ItemBytes.grantKey) { decoder throws(XDRError) in
            try decoder.grantKey()
        }
    }

    fileprivate mutating func cuts() throws(XDRError) -> [ServicePort: Set<AddressRange>] {
        let cuts = try list(max: MessageLimits.cutServicesMax, itemBytesMin: ItemBytes.cut) {
            decoder throws(XDRError) in
            let service = try decoder.service()
            let clients = try decoder.list(max: MessageLimits.elementsMax, itemBytesMin: ItemBytes.range) {
                decoder throws(XDRError) in try decoder.range()
            }
            return (service, Set(clients))
        }
        return Dictionary(cuts) { $0.union($1) }
    }
}
