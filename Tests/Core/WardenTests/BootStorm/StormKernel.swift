import Addresses
import Firewall

/// A model of the kernel's table for a storm; a transaction's cost depends on its operations, not on the table's
/// size.
struct StormKernel {
    private(set) var grants: Set<GrantKey> = []
    private var standing: Set<StandingKey> = []
    private(set) var quarantined: Set<IPAddress> = []
    private var shieldedUntil: Duration = .zero
    /// The clients that may call while the shield drops strangers.
    private var admitted: [AddressRange] = []

    mutating func commit(_ transaction: Transaction, at time: Duration) {
        for operation in transaction.operations {
            switch operation {
            case .issue(let key, _, _, _), .issueNew(let key, _, _): grants.insert(key)
            case .revoke(let key): grants.remove(key)
            case .adoptTable: (standing, quarantined) = ([], [])
            case .makeTable, .deleteTable: (grants, standing, quarantined) = ([], [], [])
            case .addStanding(let key): standing.insert(key)
            case .removeStanding(let key): standing.remove(key)
            case .replaceStanding: standing = []
            case .quarantine(let client, _): quarantined.insert(client)
            case .release(let client): quarantined.remove(client)
            case .shield(_, let timeout): shieldedUntil = time + timeout
            case .unshield: shieldedUntil = time
            case .guardPort, .unguardPort, .remember, .forget, .addCallers, .removeCallers: break
            }
        }
        admitted = standing.filter { $0.service == ServicePort(.udp, 111) }.map(\.clients)
    }

    /// Whether a call over UDP reaches the daemon.
    func lets(_ client: IPAddress, at time: Duration) -> Bool {
        guard !quarantined.contains(client) else { return false }
        return time >= shieldedUntil || admitted.contains { $0.contains(client) }
    }
}
