import Addresses
import Firewall

/// The key of an element in one of rpcwarden's sets, without the timeout, counters and comment that the kernel
/// keeps with it.
struct ElementKey: Hashable {
    let set: TableSet
    /// The packet's source.
    var addresses: AddressRange?
    /// The packet's destination, in the sets of a gateway.
    var destinations: AddressRange?
    var service: ServicePort?
    /// The last port of a range that begins with the service's.
    var lastPort: UInt16?
    /// For keys without a port.
    var transport: Transport?

    private init(_ set: TableSet) { self.set = set }

    /// - Parameter gateway: its servers must have the service's; see ``NetfilterTable/commit(_:)``.
    init(guarded service: ServicePort, _ gateway: GatewayShape?) {
        self.init(.guarded, service, gateway) { $0.isIPv4 ? .guardedAt4 : .guardedAt6 }
    }

    init(_ key: GrantKey, _ gateway: GatewayShape?) {
        self.init(.granted(key.client), key.service, gateway) { $0.isIPv4 ? .grantedAt4 : .grantedAt6 }
        addresses = AddressRange(key.client, key.client)
        // The server's packets go to the client's port.
        if key.service.server.isCallback { swap(&addresses, &destinations) }
    }

    init(remembered key: GrantKey, _ gateway: GatewayShape?) {
        self.init(.remembered(key.client), key.service, gateway) { $0.isIPv4 ? .rememberedAt4 : .rememberedAt6 }
        addresses = AddressRange(key.client, key.client)
    }

    init(_ key: StandingKey, _ gateway: GatewayShape?) {
        self.init(.standing(key.clients.first), key.service, gateway) { $0.isIPv4 ? .standingAt4 : .standingAt6 }
        addresses = key.clients
    }

    private init(
        _ ofThisHost: TableSet, _ service: ServicePort, _ gateway: GatewayShape?, _ ofServer: (IPAddress) -> TableSet
    ) {
        let server = gateway?.address(of: service.server)
        self.init(server.map(ofServer) ?? ofThisHost)
        destinations = server.map { AddressRange($0, $0) }
        self.service = service
    }

    init(_ key: CallersKey, _ gateway: GatewayShape?) {
        self.init(key.clients.first.isIPv4 ? .callers4 : .callers6)
        addresses = gateway?.address(of: key.server).map { AddressRange($0, $0) }
        destinations = key.clients
    }

    init(quarantined client: IPAddress) {
        self.init(.quarantined(client))
        addresses = AddressRange(client, client)
    }

    init(revoked key: GrantKey) {
        self.init(.revoked(key.client))
        addresses = AddressRange(key.client, key.client)
        service = key.service
    }

    init(settling transport: Transport) {
        self.init(.settling)
        self.transport = transport
    }

    init(shielded transport: Transport) {
        self.init(.shielded)
        self.transport = transport
    }

    init(server address: IPAddress) {
        self.init(address.isIPv4 ? .servers4 : .servers6)
        destinations = AddressRange(address, address)
    }

    init(closed ports: ClosedRange<UInt16>, _ transport: Transport, at address: IPAddress) {
        self.init(address.isIPv4 ? .closedAt4 : .closedAt6)
        destinations = AddressRange(address, address)
        service = ServicePort(transport, ports.lowerBound)
        lastPort = ports.upperBound
    }
}
