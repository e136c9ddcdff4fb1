/// One server behind this gateway, in `status`.
public struct ServerReport: Codable, Hashable, Sendable {
    public var name: String
    /// `up`, `down`, `stale` (the registrations are of an earlier run) or `never` (they were never read).
    public var rpcbind: String
    public var registrations: Int
    public var guarded: Int
    public var grants: Int
    /// RFC 3339, UTC.
    public var since: String?

    public init(
        name: String, rpcbind: String, registrations: Int = 0, guarded: Int = 0, grants: Int = 0,
        since: String? = nil
    ) {
        self.name = name
        self.rpcbind = rpcbind
        self.registrations = registrations
        self.guarded = guarded
        self.grants = grants
        self.since = since
    }
}
