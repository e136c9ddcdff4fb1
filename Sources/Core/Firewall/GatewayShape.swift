import Addresses

/// The servers behind this gateway, as the table needs them.
public struct GatewayShape: Hashable, Sendable {
    /// Ports that are closed whatever is registered there.
    public struct ClosedPorts: Hashable, Sendable {
        public var server: ServerID
        public var transport: Transport
        public var ports: ClosedRange<UInt16>

        public init(_ server: ServerID, _ transport: Transport, _ ports: ClosedRange<UInt16>) {
            self.server = server
            self.transport = transport
            self.ports = ports
        }
    }

    /// The addresses by which clients know the servers. The first has the ID 1.
    public var addresses: [IPAddress]
    /// In addition to port 111 of each address, which is always closed.
    public var closed: [ClosedPorts] = []
    /// The bits of the packet mark by which intercepted calls are routed: those to servers, and those of servers to
    /// their clients.
    public var serverMark: UInt32 = 0x20000
    public var clientMark: UInt32 = 0x40000

    public init(addresses: [IPAddress]) { self.addresses = addresses }

    public func address(of server: ServerID) -> IPAddress? {
        let index = Int(server.rawValue) - 1
        return addresses.indices.contains(index) ? addresses[index] : nil
    }

    public func server(at address: IPAddress) -> ServerID? {
        addresses.firstIndex(of: address).map { ServerID(rawValue: UInt16($0 + 1)) }
    }
}
