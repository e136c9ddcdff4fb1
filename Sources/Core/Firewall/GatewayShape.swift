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
    public private(set) var addresses: [IPAddress]
    /// The same as ``addresses``; it makes the look-up of each element's address fast.
    private var numbers: [IPAddress: ServerID]
    /// In addition to port 111 of each address, which is always closed.
    public var closed: [ClosedPorts] = []
    /// The bits of the packet mark by which intercepted calls are routed: those to servers, and those of servers to
    /// their clients.
    public var serverMark: UInt32 = 0x20000
    public var clientMark: UInt32 = 0x40000

    public init(addresses: [IPAddress]) {
        self.addresses = []
        numbers = Dictionary(minimumCapacity: addresses.count)
        for address in addresses { append(address) }
    }

    /// The next server's address; of an address that is there twice, the first one counts.
    public mutating func append(_ address: IPAddress) {
        addresses.append(address)
        let id = ServerID(rawValue: UInt16(addresses.count))
        if numbers[address] == nil { numbers[address] = id }
    }

    /// The server's address, for callbacks too: it calls back from there.
    public func address(of server: ServerID) -> IPAddress? {
        let index = Int(server.caller.rawValue) - 1
        return addresses.indices.contains(index) ? addresses[index] : nil
    }

    /// Whether the server exists, and is reached over the client's address family.
    ///
    /// A server that is called back by another one asks it as any client does.
    public func hasAddress(of server: ServerID, for client: IPAddress) -> Bool {
        guard let address = address(of: server), address.isIPv4 == client.isIPv4 else { return false }
        return !server.isCallback || self.server(at: client) == nil
    }

    public func server(at address: IPAddress) -> ServerID? { numbers[address] }
}
