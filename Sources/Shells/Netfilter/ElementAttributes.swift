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

    /// The table element that these attributes describe; `nil` if the key isn't one of `set`'s, or names an address
    /// that is none of the gateway's servers.
    func key(in set: TableSet, _ gateway: GatewayShape? = nil) -> TableElement? {
        guard let first, let fields = KeyFields(first, set.fields, gateway) else { return nil }
        switch set {
        case .guarded, .guardedAt4, .guardedAt6: return fields.service.map { .guarded($0) }
        case .quarantined4, .quarantined6: return fields.source.map { .quarantined($0) }
        case .granted4, .granted6, .grantedAt4, .grantedAt6: return fields.grant.map { .granted($0) }
        case .remembered4, .remembered6, .rememberedAt4, .rememberedAt6:
            // Callbacks aren't remembered.
            return fields.grant.flatMap { $0.service.server.isCallback ? nil : .remembered($0) }
        case .standing4, .standing6, .standingAt4, .standingAt6: return standing(fields, set, gateway)
        case .callers4, .callers6: return callers(fields, set, gateway)
        case .shielded: return fields.transport.map { .shielded($0) }
        case .recent4, .recent6, .revoked4, .revoked6, .settling, .servers4, .servers6, .closedAt4, .closedAt6,
            .recentAt4, .recentAt6:
            return nil
        }
    }

    /// Client and service of an element in a set that the daemon keeps no account of.
    func client(in set: TableSet) -> GrantKey? { first.flatMap { KeyFields($0, set.fields, nil) }?.grant }

    private func standing(_ low: KeyFields, _ set: TableSet, _ gateway: GatewayShape?) -> TableElement? {
        let high = last.flatMap { KeyFields($0, set.fields, gateway) } ?? low
        guard let from = low.source, let to = high.source, from <= to, let service = low.service,
            service == high.service
        else { return nil }
        return .standing(StandingKey(clients: AddressRange(from, to), service: service))
    }

    private func callers(_ low: KeyFields, _ set: TableSet, _ gateway: GatewayShape?) -> TableElement? {
        let high = last.flatMap { KeyFields($0, set.fields, gateway) } ?? low
        guard let source = low.source, source == high.source, let server = gateway?.server(at: source),
            let from = low.destination, let to = high.destination, from <= to
        else { return nil }
        return .callers(CallersKey(server: server, clients: AddressRange(from, to)))
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
    private(set) var source: IPAddress?
    private(set) var destination: IPAddress?
    private(set) var transport: Transport?
    private var port: UInt16?
    private let gateway: GatewayShape?

    /// `nil` also if the destination is no server.
    var service: ServicePort? {
        guard let transport, let port else { return nil }
        guard let destination else { return ServicePort(transport, port) }
        return gateway?.server(at: destination).map { ServicePort(transport, port, at: $0) }
    }

    var grant: GrantKey? {
        guard let source else { return nil }
        if let service { return GrantKey(client: source, service: service) }
        return callback(from: source)
    }

    /// A server may call back to a client's port.
    private func callback(from source: IPAddress) -> GrantKey? {
        guard let destination, let transport, let port, let server = gateway?.server(at: source) else { return nil }
        return GrantKey(client: destination, service: ServicePort(transport, port, at: server.callback))
    }

    init?(_ key: UnsafeRawBufferPointer, _ fields: [KeyField], _ gateway: GatewayShape?) {
        self.gateway = gateway
        guard key.count >= KeyField.keyBytes(fields) else { return nil }
        var rest = key
        for field in fields {
            switch field {
            case .address4: source = rest.bigEndian(UInt32.self).map { .v4($0) }
            case .address6: source = rest.bigEndian(UInt128.self).map { .v6(IPv6Bits($0)) }
            case .destination4: destination = rest.bigEndian(UInt32.self).map { .v4($0) }
            case .destination6: destination = rest.bigEndian(UInt128.self).map { .v6(IPv6Bits($0)) }
            case .transport: transport = rest.first.flatMap { Transport(rawValue: $0) }
            case .port: port = rest.bigEndian(UInt16.self)
            }
            rest = rest.dropping((field.bytes + 3) & ~3)
        }
    }
}
