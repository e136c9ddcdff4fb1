import Addresses
import CNetfilter
import Firewall

/// The sets of rpcwarden's table; the raw value is the set's name. The last ones are only in a gateway's table: their
/// keys name a server's address.
enum TableSet: String, CaseIterable {
    case guarded, granted4, granted6, remembered4, remembered6, standing4, standing6, recent4, recent6
    case quarantined4, quarantined6, shielded, revoked4, revoked6, settling
    case servers4, servers6, callers4, callers6
    case guardedAt4 = "guarded_at4"
    case guardedAt6 = "guarded_at6"
    case closedAt4 = "closed_at4"
    case closedAt6 = "closed_at6"
    case grantedAt4 = "granted_at4"
    case grantedAt6 = "granted_at6"
    case rememberedAt4 = "remembered_at4"
    case rememberedAt6 = "remembered_at6"
    case standingAt4 = "standing_at4"
    case standingAt6 = "standing_at6"
    case recentAt4 = "recent_at4"
    case recentAt6 = "recent_at6"

    /// The sets of this host's services.
    static let ofThisHost = allCases.filter { !$0.isOfServers }
    /// The sets of a table of this shape.
    static func all(of shape: TableShape) -> [Self] { shape.gateway == nil ? ofThisHost : allCases }

    /// The sets of ranges that are replaced together.
    static func standing(_ gateway: GatewayShape?) -> [Self] { gateway == nil ? standing : allStanding }
    static func guarded(_ gateway: GatewayShape?) -> [Self] {
        gateway == nil ? [.guarded] : [.guarded, .guardedAt4, .guardedAt6]
    }
    /// The sets of grants that stay in a table that is taken over.
    static func granted(_ gateway: GatewayShape?) -> [Self] { gateway == nil ? granted : granted + grantedAt }

    var isOfServers: Bool {
        switch self {
        case .servers4, .servers6, .callers4, .callers6, .guardedAt4, .guardedAt6, .closedAt4, .closedAt6, .grantedAt4,
            .grantedAt6, .rememberedAt4, .rememberedAt6, .standingAt4, .standingAt6, .recentAt4, .recentAt6:
            true
        case .guarded, .granted4, .granted6, .remembered4, .remembered6, .standing4, .standing6, .recent4, .recent6,
            .quarantined4, .quarantined6, .shielded, .revoked4, .revoked6, .settling:
            false
        }
    }

    /// Beyond this size packets take the long path.
    private static let recentMax = 32_768

    /// Beyond this size no first datagrams mark a flow as this host's own for a while: see `NetfilterTable.cut`.
    private static let revokedMax = 65_536

    static let granted: [Self] = [.granted4, .granted6]
    static let standing: [Self] = [.standing4, .standing6]
    private static let allStanding = standing + [.standingAt4, .standingAt6]
    private static let grantedAt: [Self] = [.grantedAt4, .grantedAt6]
    /// The set's name while ranges are exchanged.
    var nextName: String { rawValue + "_next" }

    static func granted(_ client: IPAddress) -> Self { client.isIPv4 ? .granted4 : .granted6 }
    static func remembered(_ client: IPAddress) -> Self { client.isIPv4 ? .remembered4 : .remembered6 }
    static func standing(_ client: IPAddress) -> Self { client.isIPv4 ? .standing4 : .standing6 }
    static let revoked: [Self] = [.revoked4, .revoked6]
    static func revoked(_ client: IPAddress) -> Self { client.isIPv4 ? .revoked4 : .revoked6 }

    /// Whether a new daemon adopts the set's elements; those of other sets are restored by packets, or copied
    /// without being read.
    var isAdopted: Bool {
        switch self {
        case .guarded, .granted4, .granted6, .remembered4, .remembered6, .standing4, .standing6, .quarantined4,
            .quarantined6, .callers4, .callers6, .guardedAt4, .guardedAt6, .grantedAt4, .grantedAt6, .rememberedAt4,
            .rememberedAt6, .standingAt4, .standingAt6:
            true
        case .recent4, .recent6, .shielded, .revoked4, .revoked6, .settling, .servers4, .servers6, .closedAt4,
            .closedAt6, .recentAt4, .recentAt6:
            false
        }
    }

    static func quarantined(_ client: IPAddress) -> Self { client.isIPv4 ? .quarantined4 : .quarantined6 }

    /// The fields that make up the key.
    var fields: [KeyField] {
        switch self {
        case .guarded: [.transport, .port]
        case .granted4, .remembered4, .standing4, .recent4, .revoked4: [.address4, .transport, .port]
        case .granted6, .remembered6, .standing6, .recent6, .revoked6: [.address6, .transport, .port]
        case .quarantined4: [.address4]
        case .quarantined6: [.address6]
        case .shielded, .settling: [.transport]
        case .servers4: [.destination4]
        case .servers6: [.destination6]
        case .callers4: [.address4, .destination4]
        case .callers6: [.address6, .destination6]
        case .guardedAt4, .closedAt4: [.destination4, .transport, .port]
        case .guardedAt6, .closedAt6: [.destination6, .transport, .port]
        case .grantedAt4, .rememberedAt4, .standingAt4, .recentAt4: [.address4, .destination4, .transport, .port]
        case .grantedAt6, .rememberedAt6, .standingAt6, .recentAt6: [.address6, .destination6, .transport, .port]
        }
    }

    var keyBytes: Int { KeyField.keyBytes(fields) }

    var flags: UInt32 {
        switch self {
        case .guarded, .servers4, .servers6, .guardedAt4, .guardedAt6: 0
        case .granted4, .granted6, .grantedAt4, .grantedAt6, .recent4, .recent6, .recentAt4, .recentAt6, .revoked4,
            .revoked6:
            NFT_SET_EVAL.rawValue | NFT_SET_TIMEOUT.rawValue
        case .standing4, .standing6, .callers4, .callers6, .closedAt4, .closedAt6, .standingAt4, .standingAt6:
            NFT_SET_INTERVAL.rawValue | NFT_SET_CONCAT.rawValue
        case .remembered4, .remembered6, .rememberedAt4, .rememberedAt6, .quarantined4, .quarantined6, .shielded,
            .settling:
            NFT_SET_TIMEOUT.rawValue
        }
    }

    /// The statement that each look-up runs on the element that it finds.
    enum ElementStatement {
        case count
        case limit(PacketRate)
    }

    var elementStatement: ElementStatement? {
        switch self {
        case .granted4, .granted6, .grantedAt4, .grantedAt6, .quarantined4, .quarantined6: .count
        case .remembered4, .remembered6, .rememberedAt4, .rememberedAt6: .limit(.rememberedClient)
        case .guarded, .standing4, .standing6, .recent4, .recent6, .shielded, .revoked4, .revoked6, .settling,
            .servers4, .servers6, .callers4, .callers6, .guardedAt4, .guardedAt6, .closedAt4, .closedAt6, .standingAt4,
            .standingAt6, .recentAt4, .recentAt6:
            nil
        }
    }

    func sizeMax(_ shape: TableShape) -> Int? {
        switch self {
        case .granted4, .granted6, .remembered4, .remembered6, .grantedAt4, .grantedAt6, .rememberedAt4,
            .rememberedAt6:
            shape.grantsMax
        case .recent4, .recent6, .recentAt4, .recentAt6: Self.recentMax
        case .quarantined4, .quarantined6: shape.quarantinesMax
        case .revoked4, .revoked6: Self.revokedMax
        case .guarded, .standing4, .standing6, .shielded, .settling, .servers4, .servers6, .callers4, .callers6,
            .guardedAt4, .guardedAt6, .closedAt4, .closedAt6, .standingAt4, .standingAt6:
            nil
        }
    }

    var comment: String {
        switch self {
        case .guarded: "ports of RPC services; closed but for the sets below"
        case .granted4, .granted6: "open to clients that asked; use renews"
        case .remembered4, .remembered6: "grants that a packet of their client brings back"
        case .standing4, .standing6: "open: always"
        case .recent4, .recent6, .recentAt4, .recentAt6:
            "admitted a moment ago: packets of their flows take the fast path"
        case .quarantined4, .quarantined6: "kept from the portmapper"
        case .revoked4, .revoked6: "what this host sends them is no question of its own: flows were cut"
        case .settling: "new flows of this host that don't count as its own yet"
        case .servers4, .servers6: "addresses of the servers behind this gateway"
        case .callers4, .callers6: "servers, and the clients whose portmapper they may ask"
        case .guardedAt4, .guardedAt6: "ports of the servers' RPC services; closed but for the sets below"
        case .closedAt4, .closedAt6: "other closed ports of the servers"
        case .grantedAt4, .grantedAt6: "open to clients that asked the server; use renews"
        case .rememberedAt4, .rememberedAt6: "grants that a packet of their client brings back"
        case .standingAt4, .standingAt6: "open: always"
        case .shielded: "strangers are kept from the portmapper, while there are too many"
        }
    }
}
