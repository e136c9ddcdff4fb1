import Addresses
import Firewall
import ONCRPC

/// The least number of bytes of each item, to bound the lists of them.
enum ItemBytes {
    static let service = 12
    static let address = 8
    static let range = 2 * address
    static let grantKey = address + service
    static let standingKey = range + service
    static let callersKey = 4 + range
    /// A service without clients.
    static let cut = service + 4
    static let closedPorts = 4 * 4
    static let grant = grantKey + 4 * 8 + 4
    /// Only the kind.
    static let operation = 4
    static let change = 4
    static let packet = address + 4 + service + 4 + 4
    /// An empty path, the kind, an errno or a length.
    static let file = 3 * 4
    static let name = 4
    static let text = 4
}

extension XDREncoder {
    mutating func address(_ address: IPAddress) {
        switch address {
        case .v4(let bits):
            uint32(4)
            uint32(bits)
        case .v6(let bits):
            uint32(6)
            uint64(UInt64(truncatingIfNeeded: bits.value >> 64))
            uint64(UInt64(truncatingIfNeeded: bits.value))
        }
    }

    mutating func range(_ range: AddressRange) {
        address(range.first)
        address(range.last)
    }

    mutating func service(_ service: ServicePort) {
        transport(service.transport)
        uint32(UInt32(service.port))
        uint32(UInt32(service.server.rawValue))
    }

    mutating func transport(_ transport: Transport) {
        uint32(UInt32(transport.rawValue))
    }

    mutating func grantKey(_ key: GrantKey) {
        address(key.client)
        service(key.service)
    }

    mutating func standingKey(_ key: StandingKey) {
        range(key.clients)
        service(key.service)
    }

    mutating func callersKey(_ key: CallersKey) {
        uint32(UInt32(key.server.rawValue))
        range(key.clients)
    }

    mutating func comment(_ comment: String) {
        string(comment, max: MessageLimits.commentBytesMax)
    }

    mutating func grant(_ grant: GrantElement) {
        grantKey(grant.key)
        duration(grant.timeout)
        duration(grant.expiresIn)
        uint64(grant.packets)
        uint64(grant.bytes)
        comment(grant.comment)
    }

    mutating func element(_ element: TableElement) {
        switch element {
        case .guarded(let port):
            uint32(0)
            service(port)
        case .granted(let key):
            uint32(1)
            grantKey(key)
        case .remembered(let key):
            uint32(2)
            grantKey(key)
        case .standing(let key):
            uint32(3)
            standingKey(key)
        case .quarantined(let client):
            uint32(4)
            address(client)
        case .shielded(let to):
            uint32(5)
            transport(to)
        case .callers(let key):
            uint32(6)
            callersKey(key)
        }
    }
}

extension XDRDecoder {
    mutating func address() throws(XDRError) -> IPAddress {
        switch try uint32() {
        case 4: return .v4(try uint32())
        case 6:
            let high = try uint64()
            return .v6(IPv6Bits(UInt128(high) << 64 | UInt128(try uint64())))
        case let other: throw .invalid(other)
        }
    }

    mutating func range() throws(XDRError) -> AddressRange {
        let (first, last) = (try address(), try address())
        guard first.isIPv4 == last.isIPv4, first <= last else { throw .invalid(0) }
        return AddressRange(first, last)
    }

    mutating func service() throws(XDRError) -> ServicePort {
        ServicePort(try transport(), try uint16(), at: try server())
    }

    mutating func server() throws(XDRError) -> ServerID { ServerID(rawValue: try uint16()) }

    mutating func transport() throws(XDRError) -> Transport {
        let number = try uint32()
        guard let transport = UInt8(exactly: number).flatMap(Transport.init) else { throw .invalid(number) }
        return transport
    }

    mutating func grantKey() throws(XDRError) -> GrantKey {
        GrantKey(client: try address(), service: try service())
    }

    mutating func standingKey() throws(XDRError) -> StandingKey {
        StandingKey(clients: try range(), service: try service())
    }

    mutating func callersKey() throws(XDRError) -> CallersKey {
        CallersKey(server: try server(), clients: try range())
    }

    mutating func comment() throws(XDRError) -> String {
        try string(max: MessageLimits.commentBytesMax)
    }

    mutating func grant() throws(XDRError) -> GrantElement {
        GrantElement(
            key: try grantKey(), timeout: try duration(), expiresIn: try duration(), packets: try uint64(),
            bytes: try uint64(), comment: try comment())
    }

    mutating func element() throws(XDRError) -> TableElement {
        switch try uint32() {
        case 0: return .guarded(try service())
        case 1: return .granted(try grantKey())
        case 2: return .remembered(try grantKey())
        case 3: return .standing(try standingKey())
        case 4: return .quarantined(try address())
        case 5: return .shielded(try transport())
        case 6: return .callers(try callersKey())
        case let other: throw .invalid(other)
        }
    }
}
