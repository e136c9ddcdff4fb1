import Addresses
import Clock
import Configuration

/// The quarantined clients, with the end of each quarantine; the kernel holds the same.
struct QuarantineList: Sendable {
    private var due = DueTable<IPAddress>()

    var clients: [IPAddress: Instant] { due.instants }
    var dueCount: Int { due.queuedCount }

    subscript(client: IPAddress) -> Instant? { due[client] }

    /// - Returns: whether there is room.
    mutating func add(_ client: IPAddress, until end: Instant) -> Bool {
        guard due[client] != nil || due.count < Settings.Quarantine.clientsMax else { return false }
        due.insert(client, at: end)
        return true
    }

    /// - Returns: whether the client was quarantined.
    mutating func remove(_ client: IPAddress) -> Bool { due.remove(client) }

    /// Removes and returns the clients with an ended quarantine.
    mutating func takeDue(at now: Instant) -> [IPAddress] {
        var ended: [IPAddress] = []
        while let (client, _) = due.popFirst(until: now) { ended.append(client) }
        return ended
    }
}
