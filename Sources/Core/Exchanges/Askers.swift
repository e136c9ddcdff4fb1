/// Those that one answer serves, in the order of their questions: mostly one, which takes no memory of its own.
public struct Askers<Asker: Sendable>: Sendable, RandomAccessCollection {
    private var first: Asker?
    private var others: [Asker] = []

    init(_ first: Asker? = nil) { self.first = first }

    public var startIndex: Int { 0 }
    public var endIndex: Int { first == nil ? 0 : 1 + others.count }

    public subscript(index: Int) -> Asker {
        if index == 0, let first { return first }
        return others[index - 1]
    }

    mutating func append(_ asker: Asker) {
        if first == nil { first = asker } else { others.append(asker) }
    }
}

extension Askers: Equatable where Asker: Equatable {}
extension Askers: ExpressibleByArrayLiteral {
    public init(arrayLiteral askers: Asker...) {
        self.init(askers.first)
        others = Array(askers.dropFirst())
    }
}
