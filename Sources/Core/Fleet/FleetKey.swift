import Addresses
import Bundles
import FleetRecords

/// A key of a fleet in the store, without the part that all have: `/rpcwarden/v1/FLEET/`.
public enum FleetKey: Hashable, Sendable {
    /// `policy/GROUP/current`
    case currentPolicy(group: String)
    /// `policy/GROUP/bundle/SERIAL/PIECE`
    case policyPiece(group: String, serial: UInt64, piece: UInt16)
    /// `nodes/NODE/status`
    case status(node: String)
    /// `pairs/PAIR/grants/NODE/GRANT`
    case grant(pair: String, node: String, SharedGrant)
    /// `pairs/PAIR/ended/NODE/GRANT`
    case ended(pair: String, node: String, SharedGrant)
    /// `quarantines/NODE/ADDRESS`
    case quarantine(node: String, IPAddress)
    /// `orders/ID`
    case order(id: String)

    /// Names have 64 bytes at most, addresses 39.
    public static let bytesMax = 384

    /// What the keys of a fleet have in common.
    public static func prefix(of fleet: String) -> String { "/rpcwarden/v1/\(fleet)/" }

    /// The node that alone writes the key; `nil`: a publisher does.
    public var writer: String? {
        switch self {
        case .status(let node), .grant(_, let node, _), .ended(_, let node, _), .quarantine(let node, _): node
        case .currentPolicy, .policyPiece, .order: nil
        }
    }

    /// What its value is; `nil`: a publisher's.
    public var recordKind: FleetRecord.Kind? {
        switch self {
        case .status: .status
        case .grant: .grant
        case .ended: .ended
        case .quarantine: .quarantine
        case .currentPolicy, .policyPiece, .order: nil
        }
    }

    public func text(of fleet: String) -> String { Self.prefix(of: fleet) + path }

    var path: String {
        switch self {
        case .currentPolicy(let group): "policy/\(group)/current"
        case .policyPiece(let group, let serial, let piece): "policy/\(group)/bundle/\(serial)/\(piece)"
        case .status(let node): "nodes/\(node)/status"
        case .grant(let pair, let node, let grant): "pairs/\(pair)/grants/\(node)/\(grant)"
        case .ended(let pair, let node, let grant): "pairs/\(pair)/ended/\(node)/\(grant)"
        case .quarantine(let node, let client): "quarantines/\(node)/\(client)"
        case .order(let id): "orders/\(id)"
        }
    }

    /// Parses a key; `nil` for one of another fleet, and for one that ``text(of:)`` would write otherwise.
    public init?(_ text: String, of fleet: String) {
        let prefix = Self.prefix(of: fleet)
        guard text.utf8.count <= Self.bytesMax, text.hasPrefix(prefix) else { return nil }
        let parts = text.dropFirst(prefix.count).split(separator: "/", omittingEmptySubsequences: false)
        guard let key = Self.key(parts.map(String.init)), key.text(of: fleet).utf8.elementsEqual(text.utf8) else {
            return nil
        }
        self = key
    }

    private static func key(_ parts: [String]) -> FleetKey? {
        guard parts.count >= 2, PolicyBundle.isName(parts[1]) else { return nil }
        switch (parts[0], parts.count) {
        case ("policy", 3) where parts[2] == "current": return .currentPolicy(group: parts[1])
        case ("policy", 5) where parts[2] == "bundle":
            guard let serial = UInt64(parts[3]), let piece = UInt16(parts[4]) else { return nil }
            return .policyPiece(group: parts[1], serial: serial, piece: piece)
        case ("nodes", 3) where parts[2] == "status": return .status(node: parts[1])
        case ("pairs", 5):
            guard PolicyBundle.isName(parts[3]), let grant = SharedGrant(text: parts[4]) else { return nil }
            switch parts[2] {
            case "grants": return .grant(pair: parts[1], node: parts[3], grant)
            case "ended": return .ended(pair: parts[1], node: parts[3], grant)
            default: return nil
            }
        case ("quarantines", 3): return IPAddress(parts[2]).map { .quarantine(node: parts[1], $0) }
        case ("orders", 2): return .order(id: parts[1])
        default: return nil
        }
    }
}
