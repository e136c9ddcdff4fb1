import Firewall
import Portmapper

/// An element of one of our sets, apart from what the kernel keeps with it.
struct ElementKey: Hashable {
    let set: TableSet
    let addresses: AddressRange?
    let service: ServicePort?

    init(_ set: TableSet, _ service: ServicePort) {
        self.set = set
        addresses = nil
        self.service = service
    }

    init(_ key: GrantKey) {
        set = .granted(key.client)
        addresses = AddressRange(key.client, key.client)
        service = key.service
    }

    init(_ key: StandingKey) {
        set = .standing(key.clients.first)
        addresses = key.clients
        service = key.service
    }

    init(quarantined client: IPAddress) {
        set = .quarantined(client)
        addresses = AddressRange(client, client)
        service = nil
    }
}
