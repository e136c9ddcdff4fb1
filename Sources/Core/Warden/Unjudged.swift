import Addresses
import Firewall

/// What an earlier run opened, or remembered, by rules whose host names are not all resolved yet.
///
/// Kept until they are; then it is judged like the rest.
struct Unjudged: Sendable {
    var grants: Set<GrantKey> = []
    private(set) var standing: [ServicePort: [AddressRange]] = [:]

    init() {}

    init(grants: Set<GrantKey>, standing: Set<StandingKey>) {
        self.grants = grants
        self.standing = Dictionary(grouping: standing, by: \.service).mapValues { $0.map(\.clients) }
    }
}
