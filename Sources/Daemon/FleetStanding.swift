import AuditTrail
import Clock
import FleetRecords

/// How this node stands with its fleet, by what the sidecar tells. Pure.
struct FleetStanding {
    private(set) var isSidecarHere = false
    /// Of the fleet, as the sidecar says.
    private(set) var fleet: String?
    private(set) var node: String?
    private(set) var store: StoreState?
    private var refusal: String?
    private var isPolicyFetched = false
    private var reloadNotBefore = Instant.zero

    /// Between reloads on the sidecar's word, however often it gives it.
    private static let reloadPause = Duration.seconds(1)

    var isConnected: Bool { store?.isConnected ?? false }

    mutating func sidecarConnected() { isSidecarHere = true }

    /// - Returns: what is to be recorded.
    mutating func sidecarLost(_ detail: String, at time: Timestamp) -> AuditEvent? {
        isSidecarHere = false
        var lost = StoreState(since: time)
        lost.detail = detail
        return storeTold(lost)
    }

    mutating func helloTold(fleet: String, node: String) { (self.fleet, self.node) = (fleet, node) }

    /// The sidecar didn't put a policy on the disk; told again at each of its connections.
    ///
    /// - Returns: what is to be recorded.
    mutating func policyRefused(_ group: String, _ detail: String) -> AuditEvent? {
        guard detail != refusal else { return nil }
        refusal = detail
        return AuditEvent(.policyRefused, detail: "group \(group): \(detail)")
    }

    /// The sidecar says that a newer bundle is on disk; reading it decides.
    mutating func policyFetched() { isPolicyFetched = true }

    /// Whether the files are to be read now.
    mutating func takeReload(at now: Instant) -> Bool {
        guard isPolicyFetched, now >= reloadNotBefore else { return false }
        isPolicyFetched = false
        reloadNotBefore = now + Self.reloadPause
        return true
    }

    /// - Returns: what is to be recorded.
    mutating func storeTold(_ state: StoreState) -> AuditEvent? {
        let was = store
        store = state
        if let was, was.isConnected == state.isConnected { store?.since = was.since }
        guard state.isConnected != (was?.isConnected ?? false) else { return nil }
        let name = [fleet.map { "fleet \($0)" }, node.map { "as node \($0)" }].compactMap { $0 }.joined(separator: " ")
        return state.isConnected
            ? AuditEvent(.fleetConnected, detail: name.isEmpty ? nil : name)
            : AuditEvent(.fleetLost, detail: state.detail)
    }
}
