import Addresses
import Clock

/// Permissions that were logged within a day, for `audit.permitted: first`.
///
/// Two generations: when the younger one is full the older one is forgotten, and its permissions are logged once
/// more.
struct FirstPermissions {
    struct Key: Hashable {
        var client: IPAddress
        var server: ServerNumber
        var program: Program
        /// The transport of the service, if a lookup asks for one.
        var over: Transport?
        var isListing: Bool
    }

    static let entriesMax = 16_384
    static let period: Duration = .seconds(86_400)

    private var young: [Key: Instant] = [:]
    private var old: [Key: Instant] = [:]

    var count: Int { young.count + old.count }

    /// Whether a line is due; a permission that was logged within the period stays in the young generation.
    mutating func isDue(_ key: Key, at now: Instant) -> Bool {
        if let told = young[key] { return now - told >= Self.period }
        guard let told = old[key] else { return true }
        keep(key, told)
        return now - told >= Self.period
    }

    mutating func told(_ key: Key, at now: Instant) { keep(key, now) }

    private mutating func keep(_ key: Key, _ told: Instant) {
        if young.count >= Self.entriesMax / 2, young[key] == nil { (old, young) = (young, [:]) }
        young[key] = told
    }
}
