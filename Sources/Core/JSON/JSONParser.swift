/// Checks a JSON text, and notes its values in the order of the text.
///
/// ```
/// value ──{ [──▶ open container ──, :──▶ value
///   └──────────── } ] ──▶ the container around it, or the end
/// ```
struct JSONParser {
    private struct Open {
        var node: Int
        var count = 0
    }

    private let limits: JSONLimits
    private(set) var nodes: [JSONNode] = []
    private var text: JSONScanner
    private var open: [Open] = []

    init(_ bytes: [UInt8], _ limits: JSONLimits) {
        self.limits = limits
        text = JSONScanner(bytes)
    }

    mutating func parse() throws(JSONError) {
        text.skipSpace()
        try value()
        while let last = open.last {
            text.skipSpace()
            if nodes[last.node].kind == .object {
                try member(isFirst: last.count == 0)
            } else {
                try element(isFirst: last.count == 0)
            }
        }
        text.skipSpace()
        guard text.isAtEnd else { throw text.malformed }
    }

    private mutating func member(isFirst: Bool) throws(JSONError) {
        if text.take("}") { return close() }
        if !isFirst {
            guard text.take(",") else { throw text.malformed }
            text.skipSpace()
        }
        guard open[open.count - 1].count < limits.membersMax else { throw .tooManyMembers }
        try name()
        text.skipSpace()
        guard text.take(":") else { throw text.malformed }
        text.skipSpace()
        open[open.count - 1].count += 1
        try value()
    }

    private mutating func element(isFirst: Bool) throws(JSONError) {
        if text.take("]") { return close() }
        if !isFirst {
            guard text.take(",") else { throw text.malformed }
            text.skipSpace()
        }
        open[open.count - 1].count += 1
        try value()
    }

    private mutating func close() {
        let node = open.removeLast().node
        nodes[node].end = UInt32(text.place)
        nodes[node].next = UInt32(nodes.count)
    }

    private mutating func value() throws(JSONError) {
        let start = text.place
        switch text.next {
        case UInt8(ascii: "{"): try begin(.object)
        case UInt8(ascii: "["): try begin(.array)
        case UInt8(ascii: "\""): try add(try text.text())
        case UInt8(ascii: "t"): try add(.yes, start, try text.word("true"))
        case UInt8(ascii: "f"): try add(.no, start, try text.word("false"))
        case UInt8(ascii: "n"): try add(.null, start, try text.word("null"))
        case _: try add(.number, start, try text.number())
        }
    }

    private mutating func begin(_ kind: JSONNode.Kind) throws(JSONError) {
        guard open.count < limits.depthMax else { throw .tooDeep }
        open.append(Open(node: nodes.count))
        try add(kind, text.place, text.place + 1)
        text.place += 1
    }

    private mutating func add(
        _ kind: JSONNode.Kind, _ start: Int, _ end: Int, isEscaped: Bool = false
    ) throws(JSONError) {
        guard nodes.count < limits.valuesMax else { throw .tooManyValues }
        nodes.append(
            JSONNode(
                start: UInt32(start), end: UInt32(end), next: UInt32(nodes.count + 1), kind: kind,
                isEscaped: isEscaped))
    }

    private mutating func add(_ found: JSONScanner.Text) throws(JSONError) {
        try add(.text, found.range.lowerBound, found.range.upperBound, isEscaped: found.isEscaped)
    }

    private mutating func name() throws(JSONError) {
        let place = text.place
        let found = try text.text()
        let hash = hash(of: found)
        var index = open[open.count - 1].node + 1
        while index < nodes.count {
            guard nodes[index].hash != hash || !isSame(nodes[index], found) else {
                throw .duplicateMember(place: place)
            }
            index = Int(nodes[index + 1].next)
        }
        try add(found)
        nodes[nodes.count - 1].hash = hash
    }

    /// Long names that differ at their ends would otherwise be compared, and unescaped, many times.
    private func hash(of name: JSONScanner.Text) -> UInt16 {
        var hasher = Hasher()
        let bytes = text.bytes[name.range]
        if name.isEscaped {
            JSONScanner.unescaped(bytes).withUnsafeBytes { hasher.combine(bytes: $0) }
        } else {
            bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
        }
        return UInt16(truncatingIfNeeded: hasher.finalize())
    }

    private func isSame(_ node: JSONNode, _ name: JSONScanner.Text) -> Bool {
        let (one, other) = (text.bytes[node.range], text.bytes[name.range])
        guard node.isEscaped || name.isEscaped else { return one.elementsEqual(other) }
        return JSONScanner.unescaped(one) == JSONScanner.unescaped(other)
    }
}
