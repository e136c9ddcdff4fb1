import Addresses

/// The programs for which a port is open: one program, as a rule; others may share the port.
public struct Programs: Hashable, Sendable {
    public private(set) var least: Program
    /// Ascending.
    private var others: [Program] = []

    public init(_ program: Program) { least = program }

    /// Ascending.
    public var all: [Program] { [least] + others }

    public func contains(_ program: Program) -> Bool { program == least || others.contains(program) }

    public func contains(where isMeant: (Program) -> Bool) -> Bool { isMeant(least) || others.contains(where: isMeant) }

    public mutating func formUnion(_ more: Programs) {
        guard more != self else { return }
        let union = Set(all).union(more.all).sorted()
        (least, others) = (union[0], Array(union[1...]))
    }
}
