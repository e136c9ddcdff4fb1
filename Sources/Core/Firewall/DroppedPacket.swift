import Addresses

/// A packet to a guarded port or to the portmapper that the kernel dropped, as NFLOG reported it.
public struct DroppedPacket: Hashable, Sendable {
    /// Why the packet was logged; the raw value is the log rule's prefix.
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        /// The client once held the grant.
        case remembered = "rpcwarden remembered"
        case probe = "rpcwarden probe"
        /// The packet was for the portmapper, which is shielded from strangers.
        case stranger = "rpcwarden stranger"
    }

    public var client: IPAddress
    public var clientPort: UInt16
    public var service: ServicePort
    public var kind: Kind
    /// The payload of a stranger's datagram, as far as it was copied; otherwise empty.
    public var payload: [UInt8] = []

    public init(client: IPAddress, clientPort: UInt16, service: ServicePort, kind: Kind) {
        self.client = client
        self.clientPort = clientPort
        self.service = service
        self.kind = kind
    }

    /// Reads the headers of an IP packet, which may be cut off after them.
    ///
    /// `nil` for packets that no RPC client sends: fragments, IPv6 extension headers, anything but TCP and UDP.
    /// - Parameter gateway: the servers; a packet to another address counts as one to this host.
    public init?(_ packet: [UInt8], kind: Kind, _ gateway: GatewayShape? = nil) {
        guard let version = packet.first.map({ $0 >> 4 }) else { return nil }
        switch version {
        case 4: self.init(ipv4: packet, kind, gateway)
        case 6: self.init(ipv6: packet, kind, gateway)
        default: return nil
        }
    }

    /// RFC 791, 3.1.
    private init?(ipv4 packet: [UInt8], _ kind: Kind, _ gateway: GatewayShape?) {
        guard packet.count >= 20 else { return nil }
        let headerBytes = Int(packet[0] & 0xf) * 4
        // More fragments, or the offset of one.
        let isFragment = packet.bigEndian16(at: 6) & 0x3fff != 0
        guard headerBytes >= 20, !isFragment, let client = IPAddress(networkBytes: packet[12..<16]) else { return nil }
        self.init(client, transport: packet[9], packet.dropFirst(headerBytes), kind)
        if let gateway, let address = IPAddress(networkBytes: packet[16..<20]) { locate(at: address, gateway) }
    }

    /// RFC 8200, 3.
    private init?(ipv6 packet: [UInt8], _ kind: Kind, _ gateway: GatewayShape?) {
        guard packet.count >= 40 else { return nil }
        // A mapped address isn't made an IPv4 address: it is no source on the wire (RFC 4942, 2.2).
        let client = Self.address(ipv6: packet[8..<24])
        self.init(client, transport: packet[6], packet.dropFirst(40), kind)
        if let gateway { locate(at: Self.address(ipv6: packet[24..<40]), gateway) }
    }

    private static func address(ipv6 bytes: ArraySlice<UInt8>) -> IPAddress {
        .v6(IPv6Bits(bytes.reduce(0) { $0 << 8 | UInt128($1) }))
    }

    private mutating func locate(at destination: IPAddress, _ gateway: GatewayShape) {
        service.server = gateway.server(at: destination) ?? .thisHost
    }

    /// TCP (RFC 9293, 3.1) and UDP (RFC 768) both begin with the ports.
    private init?(_ client: IPAddress, transport: UInt8, _ segment: ArraySlice<UInt8>, _ kind: Kind) {
        guard let transport = Transport(rawValue: transport), segment.count >= 4 else { return nil }
        self.client = client
        clientPort = segment.bigEndian16(at: segment.startIndex)
        service = ServicePort(transport, segment.bigEndian16(at: segment.startIndex + 2))
        self.kind = kind
        // RFC 768: ports, length and checksum.
        if kind == .stranger, transport == .udp { payload = Array(segment.dropFirst(8)) }
    }
}

extension RandomAccessCollection<UInt8> where Index == Int {
    fileprivate func bigEndian16(at index: Int) -> UInt16 { UInt16(self[index]) << 8 | UInt16(self[index + 1]) }
}
