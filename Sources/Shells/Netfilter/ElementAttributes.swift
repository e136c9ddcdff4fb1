import Addresses
import CNetfilter
import Firewall

/// An element as the kernel describes it; not trusted, since any process that may write to the table can add elements.
struct ElementAttributes {
    private(set) var timeout: Duration?
    private(set) var expiresIn: Duration?
    private var first: UnsafeRawBufferPointer?
    private var last: UnsafeRawBufferPointer?
    private var packets: UInt64 = 0
    private var bytes: UInt64 = 0
    private var comment = ""
    private let countingsPerPacket: UInt64

    /// - Parameter countingsPerPacket: rpcwarden's own rules count a packet of a grant twice, in the look-up and
    ///   in the update.
    init(_ attributes: Attributes, countingsPerPacket: UInt64 = 1) {
        self.countingsPerPacket = countingsPerPacket
        for attribute in attributes {
            switch attribute.type {
            case NFTA_SET_ELEM_KEY.rawValue: first = Self.value(attribute.nested)
            case NFTA_SET_ELEM_KEY_END.rawValue: last = Self.value(attribute.nested)
            case NFTA_SET_ELEM_TIMEOUT.rawValue: timeout = Self.duration(attribute)
            case NFTA_SET_ELEM_EXPIRATION.rawValue: expiresIn = Self.duration(attribute)
            case NFTA_SET_ELEM_USERDATA.rawValue: comment = Userdata.comment(in: attribute.payload) ?? ""
            case NFTA_SET_ELEM_EXPR.rawValue: readCounter(attribute.nested)
            default: break
            }
        }
    }

    /// The table element that these attributes describe; `nil` if the key isn't one of `set`'s.
    func key(in set: TableSet) -> TableElement? {
        guard let first, let fields = KeyFields(first, set.fields) else { return nil }
        switch set {
        case .guarded: return fields.service.map { .guarded($0) }
        case .quarantined4, .quarantined6: return fields.address.map { .quarantined($0) }
        case .granted4, .granted6: return fields.grant.map { .granted($0) }
        case .remembered4, .remembered6: return fields.grant.map { .remembered($0) }
        case .standing4, .standing6: return standing(fields, set)
        case .shielded: return fields.transport.map { .shielded($0) }
        case .recent4, .recent6, .revoked4, .revoked6, .settling, .servers4, .servers6, .callers4, .callers6,
            .guardedAt4, .guardedAt6, .closedAt4, .closedAt6, .grantedAt4, .grantedAt6, .rememberedAt4, .rememberedAt6,
            .standingAt4, .standingAt6:
            return nil
        }
    }

    /// Client and service of an element in a set that the daemon keeps no account of.
    func client(in set: TableSet) -> GrantKey? { first.flatMap { KeyFields($0, set.fields) }?.grant }

    private func standing(_ low: KeyFields, _ set: TableSet) -> TableElement? {
        let high = last.flatMap { KeyFields($0, set.fields) } ?? low
        guard let from = low.address, let to = high.address, from <= to, let service = low.service,
            service == high.service
        else { return nil }
        return .standing(StandingKey(clients: AddressRange(from, to), service: service))
    }

    /// Time left until the element expires; an element without timeout stays until it is deleted.
    var lifetime: Duration { expiresIn ?? .seconds(Int64.max) }

    var use: GrantUse { GrantUse(expiresIn: lifetime, packets: packets / countingsPerPacket) }

    func grant(_ key: GrantKey, setTimeout: Duration) -> GrantElement {
        let timeout = timeout ?? setTimeout
        let expiresIn = expiresIn ?? timeout
        // Renewal by packets moves only the expiration; the kernel still reports the timeout that the grant was
        // issued with.
        return GrantElement(
            key: key, timeout: max(timeout, expiresIn), expiresIn: expiresIn, packets: packets / countingsPerPacket,
            bytes: bytes / countingsPerPacket, comment: comment)
    }

    private static func value(_ attributes: Attributes) -> UnsafeRawBufferPointer? {
        attributes.first { $0.type == NFTA_DATA_VALUE.rawValue }?.payload
    }

    private static func duration(_ attribute: Attributes.Attribute) -> Duration? {
        attribute.payload.bigEndian(UInt64.self).map(Duration.init(kernelMilliseconds:))
    }

    private mutating func readCounter(_ expression: Attributes) {
        for attribute in expression where attribute.type == NFTA_EXPR_DATA.rawValue {
            for part in attribute.nested {
                switch part.type {
                case NFTA_COUNTER_BYTES.rawValue: bytes = part.payload.bigEndian(UInt64.self) ?? 0
                case NFTA_COUNTER_PACKETS.rawValue: packets = part.payload.bigEndian(UInt64.self) ?? 0
                default: break
                }
            }
        }
    }
}

/// The fields of an element's key.
private struct KeyFields {
    private(set) var address: IPAddress?
    private(set) var service: ServicePort?
    private(set) var transport: Transport?

    var grant: GrantKey? {
        guard let address, let service else { return nil }
        return GrantKey(client: address, service: service)
    }

    init?(_ key: UnsafeRawBufferPointer, _ fields: [KeyField]) {
        guard key.count >= KeyField.keyBytes(fields) else { return nil }
        var rest = key
        for field in fields {
            switch field {
            case .address4: address = rest.bigEndian(UInt32.self).map { .v4($0) }
            case .address6: address = rest.bigEndian(UInt128.self).map { .v6(IPv6Bits($0)) }
            // Sets with a server in their keys are not read yet.
            case .server4, .server6: return nil
            case .transport: transport = rest.first.flatMap { Transport(rawValue: $0) }
            case .port:
                guard let transport, let port = rest.bigEndian(UInt16.self) else { break }
                service = ServicePort(transport, port)
            }
            rest = rest.dropping((field.bytes + 3) & ~3)
        }
    }
}
