import Addresses
import Clock
import Configuration

/// The quarantined clients, with the end of each quarantine; the kernel holds the same.
struct QuarantineList: Sendable {
    private var due = DueTable<IPAddress>()
    private var began: [IPAddress: Instant] = [:]

    var clients: [IPAddress: Instant] { due.instants }
    var dueCount: Int { due.queuedCount }

    subscript(client: IPAddress) -> Instant? { due[client] }

    /// - Parameter began: `nil` if an earlier run began it.
    /// - Returns: whether there is room.
    mutating func add(_ client: IPAddress, until end: Instant, from began: Instant?) -> Bool {
        guard due[client] != nil || due.count < Settings.Quarantine.clientsMax else { return false }
        if due[client] == nil { self.began[client] = began }
        due.insert(client, at: end)
        return true
    }

    /// Whether the client is quarantined, and was at that time.
    func holds(_ client: IPAddress, at time: Instant) -> Bool {
        due[client] != nil && began[client].map { $0 <= time } ?? true
    }

    /// - Returns: whether the client was quarantined.
    mutating func remove(_ client: IPAddress) -> Bool {
        began[client] = nil
        return due.remove(client)
    }

    /// Removes and returns the clients with an ended quarantine.
    mutating func takeDue(at now: Instant) -> [IPAddress] {
        var ended: [IPAddress] = []
        while let (client, _) = due.popFirst(until: now) {
            began[client] = nil
            ended.append(client)
        }
        return ended
    }
}
