import Addresses
import Policy
import Portmapper

/// All that a listing depends on besides registry and policy: ``Upstream/shown(_:to:_:)`` sees nothing else of its
/// reader.
public struct ListingView: Hashable, Sendable {
    public enum Reader: Hashable, Sendable {
        /// Sees all registrations.
        case thisHost
        /// Sees all registrations that can be reached.
        case observed
        /// Sees the registrations for this class of clients in the policy (``Policy/classNumber(of:)``).
        case clients(Int)
    }

    var reader: Reader
    var isVersion2: Bool
    /// The port at which the portmapper was asked, which the listing tells.
    var port: UInt16
    /// The address at which it was asked: a registration may hold for another one alone.
    var server: ServerID

    public init(
        reader: Reader, _ version: PortmapperVersion, askedAt port: UInt16, of server: ServerID = .thisHost
    ) {
        self.reader = reader
        self.server = server
        isVersion2 = version == .v2
        self.port = port
    }
}

/// Listings as they were sent: readers with the same view get the same listing, until registry or policy change.
struct ListingCache: Sendable {
    private var results: [ListingView: [UInt8]] = [:]

    /// Policies with more kinds of readers than this are rare, and a listing can take hundreds of kilobytes.
    static let viewsMax = 16

    var count: Int { results.count }

    mutating func clear() { results = [:] }

    subscript(view: ListingView) -> [UInt8]? { results[view] }

    mutating func remember(_ listing: [UInt8], as view: ListingView) -> [UInt8] {
        if results.count == Self.viewsMax { clear() }
        results[view] = listing
        return listing
    }
}
