/// What others did to our rules and routes, and whether it was undone.
public struct RoutingRepair: Hashable, Sendable {
    /// A line for the log each.
    public var changes: [String] = []
    /// Why the rules and routes aren't as they should be; told once.
    public var failure: String?

    public init(changes: [String] = [], failure: String? = nil) {
        self.changes = changes
        self.failure = failure
    }

    /// - Parameter undone: what was missing and was added, and what was in excess and was removed.
    public init(_ undone: RoutingDifference) {
        changes = [
            Self.line(undone.missing, "removed by another process; restored"),
            Self.line(undone.excess, "added by another process; removed"),
        ].compactMap { $0 }
    }

    public var isEmpty: Bool { changes.isEmpty && failure == nil }

    /// A log line holds no more; the rest is counted.
    static let partsShownMax = 4

    private static func line(_ parts: [RoutingPart], _ what: String) -> String? {
        guard !parts.isEmpty else { return nil }
        let shown = parts.prefix(partsShownMax).map(\.description).joined(separator: ", ")
        let more = parts.count - partsShownMax
        return "routing: \(shown)\(more > 0 ? " and \(more) more" : "") \(what)"
    }
}
