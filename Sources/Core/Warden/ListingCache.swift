/// Listings as they were sent: who sees the same is sent the same, until registry or policy change.
struct ListingCache: Sendable {
    enum Reader: Hashable {
        /// Sees all.
        case thisHost
        /// Sees all that can be reached.
        case observed
        /// Of this class of the policy.
        case clients(Int)
    }

    struct View: Hashable {
        var reader: Reader
        var isVersion2: Bool
        /// Where the portmapper was asked, as it tells.
        var port: UInt16
    }

    private var results: [View: [UInt8]] = [:]

    /// Policies with more kinds of readers than this are rare, and a listing can take hundreds of kilobytes.
    static let viewsMax = 16

    var count: Int { results.count }

    mutating func clear() { results = [:] }

    subscript(view: View) -> [UInt8]? { results[view] }

    mutating func remember(_ listing: [UInt8], as view: View) -> [UInt8] {
        if results.count == Self.viewsMax { clear() }
        results[view] = listing
        return listing
    }
}
