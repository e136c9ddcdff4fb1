import Etcd
import Fleet

/// The keys of a fleet as the store has them.
struct StoreKeys: Sendable {
    let fleet: String
    let node: String
    let pair: String?
    let ranges: [FleetRange]
    /// The group whose policy is fetched.
    let group: String?

    func bytes(_ key: FleetKey) -> [UInt8] { Array(key.text(of: fleet).utf8) }

    func key(_ bytes: [UInt8]) -> FleetKey? { FleetKey(String(decoding: bytes, as: UTF8.self), of: fleet) }

    /// A key that this node may read in any case.
    var probe: [UInt8] { bytes(.status(node: node)) }

    func range(_ range: FleetRange) -> EtcdRange {
        switch range {
        case .pair: prefix("pairs/\(pair ?? "")/")
        case .quarantines: prefix("quarantines/")
        }
    }

    var orders: EtcdRange { prefix("orders/") }

    /// The announcement of the policy that this node takes.
    var policy: EtcdRange? { group.map { EtcdRange(key: bytes(.currentPolicy(group: $0))) } }

    var watched: [EtcdRange] { ranges.map(range) + [orders] + (policy.map { [$0] } ?? []) }

    var statuses: EtcdRange { prefix("nodes/") }

    private func prefix(_ path: String) -> EtcdRange {
        EtcdRange(prefix: Array((FleetKey.prefix(of: fleet) + path).utf8))
    }
}
