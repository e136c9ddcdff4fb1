/// Listings as they were sent: readers with the same view get the same listing, until registry or policy change.
struct ListingCache: Sendable {
    enum Reader: Hashable {
        /// Sees all registrations.
        case thisHost
        /// Sees all registrations that can be reached.
        case observed
        /// Sees the registrations for this class of clients in the policy.
        case clients(Int)
    }

    struct View: Hashable {
        var reader: Reader
        var isVersion2: Bool
        /// The port at which the portmapper was asked, which the listing tells.
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
