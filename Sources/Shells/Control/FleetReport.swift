/// The part of `status` about a fleet; times are RFC 3339, UTC.
public struct FleetReport: Codable, Hashable, Sendable {
    /// `nil`: neither the sidecar nor a bundle has told it.
    public var fleet: String?
    /// This node's name; `nil`: the sidecar hasn't told it.
    public var node: String?
    /// Whether another host writes as this node, too; `nil`: none was seen.
    public var nameShared: Bool?
    /// Whether the sidecar has the store; `nil`: this host needs no sidecar.
    public var connected: Bool?
    /// Since when it is so; `nil`: the sidecar was never here.
    public var since: String?
    /// Grants of other nodes that are open here.
    public var foreignGrants: Int?
    /// Grants of other nodes whose services aren't alive here.
    public var waitingGrants: Int?
    /// Quarantines of other nodes.
    public var foreignQuarantines: Int?
    /// Records of this node that the store doesn't have yet.
    public var queue: Int?
    /// Of the bundle in force; these are `nil` without one.
    public var group: String?
    public var serial: UInt64?
    public var created: String?
    /// `nil`: the policy is right for good.
    public var notAfter: String?
    public var expired: Bool?

    public init() {}

    enum CodingKeys: String, CodingKey {
        case fleet, node, connected, since
        case nameShared = "name_shared"
        case foreignGrants = "foreign_grants"
        case waitingGrants = "waiting_grants"
        case foreignQuarantines = "foreign_quarantines"
        case queue, group, serial, created
        case notAfter = "not_after"
        case expired
    }
}
