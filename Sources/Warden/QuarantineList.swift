import Portmapper

/// Who is kept from the portmapper, and until when; the kernel holds the same.
struct QuarantineList: Sendable {
    private(set) var clients: [IPAddress: Instant] = [:]
    private var due = DueQueue<IPAddress>()

    /// The size of the kernel's sets.
    static let clientsMax = 65_536

    subscript(client: IPAddress) -> Instant? { clients[client] }

    /// - Returns: whether there is room.
    mutating func add(_ client: IPAddress, until end: Instant) -> Bool {
        guard clients[client] != nil || clients.count < Self.clientsMax else { return false }
        clients[client] = end
        due.insert(client, at: end)
        return true
    }

    /// - Returns: whether it was there.
    mutating func remove(_ client: IPAddress) -> Bool { clients.removeValue(forKey: client) != nil }

    /// Those whose time is up.
    mutating func takeDue(at now: Instant) -> [IPAddress] {
        var ended: [IPAddress] = []
        while let (client, at) = due.popFirst(until: now) {
            guard clients[client] == at else { continue }
            clients[client] = nil
            ended.append(client)
        }
        return ended
    }
}
