import Addresses
import Firewall

/// Elements that an earlier run opened, or remembered, by rules with host names that are not all resolved yet.
///
/// They are kept until the names are resolved, and judged like the rest then.
struct Unjudged: Sendable {
    var grants: Set<GrantKey> = []
    private(set) var standing: [ServicePort: [AddressRange]] = [:]

    init() {}

    init(grants: Set<GrantKey>, standing: Set<StandingKey>) {
        self.grants = grants
        self.standing = Dictionary(grouping: standing, by: \.service).mapValues { $0.map(\.clients) }
    }
}
