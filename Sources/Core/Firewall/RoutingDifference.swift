/// A rule, or a route.
public enum RoutingPart: Hashable, Sendable, CustomStringConvertible {
    case rule(RoutingRule)
    case entry(RoutingEntry)
    /// With our mark or in our table, but of a kind that no plan has; the text describes it.
    case other(String)

    public var description: String {
        switch self {
        case .rule(let rule): "\(rule)"
        case .entry(let entry): "\(entry)"
        case .other(let text): text
        }
    }
}

/// How the kernel's rules and routes differ from a plan.
public struct RoutingDifference: Hashable, Sendable {
    public var missing: [RoutingPart] = []
    /// With our marks or in our tables, and not of the plan.
    public var excess: [RoutingPart] = []

    public init(missing: [RoutingPart] = [], excess: [RoutingPart] = []) {
        self.missing = missing
        self.excess = excess
    }

    public var isEmpty: Bool { missing.isEmpty && excess.isEmpty }
}
