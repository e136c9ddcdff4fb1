import Addresses
import Firewall

/// The key of an element in one of rpcwarden's sets, without the timeout, counters and comment that the kernel
/// keeps with it.
struct ElementKey: Hashable {
    let set: TableSet
    let addresses: AddressRange?
    let service: ServicePort?
    /// For keys without a port.
    let transport: Transport?

    init(_ set: TableSet, _ service: ServicePort) {
        self.set = set
        addresses = nil
        self.service = service
        transport = nil
    }

    init(_ key: GrantKey) {
        set = .granted(key.client)
        addresses = AddressRange(key.client, key.client)
        service = key.service
        transport = nil
    }

    init(remembered key: GrantKey) {
        set = .remembered(key.client)
        addresses = AddressRange(key.client, key.client)
        service = key.service
        transport = nil
    }

    init(_ key: StandingKey) {
        set = .standing(key.clients.first)
        addresses = key.clients
        service = key.service
        transport = nil
    }

    init(quarantined client: IPAddress) {
        set = .quarantined(client)
        addresses = AddressRange(client, client)
        service = nil
        transport = nil
    }

    init(revoked key: GrantKey) {
        set = .revoked(key.client)
        addresses = AddressRange(key.client, key.client)
        service = key.service
        transport = nil
    }

    init(settling transport: Transport) {
        set = .settling
        addresses = nil
        service = nil
        self.transport = transport
    }

    init(shielded transport: Transport) {
        set = .shielded
        addresses = nil
        service = nil
        self.transport = transport
    }
}
