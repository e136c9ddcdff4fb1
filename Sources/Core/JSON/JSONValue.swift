/// A value of a document. What is of another kind than asked for is `nil`.
public struct JSONValue: Sendable {
    let document: JSONDocument
    let index: Int

    private var node: JSONNode { document.nodes[index] }
    private var slice: ArraySlice<UInt8> { document.bytes[node.range] }

    public var isObject: Bool { node.kind == .object }
    public var isArray: Bool { node.kind == .array }

    public var bool: Bool? {
        switch node.kind {
        case .yes: true
        case .no: false
        case .object, .array, .text, .number, .null: nil
        }
    }

    public var text: String? { utf8.map { String(decoding: $0, as: UTF8.self) } }

    /// The bytes of a text.
    public var utf8: ArraySlice<UInt8>? {
        guard node.kind == .text else { return nil }
        return node.isEscaped ? JSONScanner.unescaped(slice)[...] : slice
    }

    /// A whole number of 64 bits, also one that is written as text, as protobuf's JSON mapping does.
    ///
    /// As text it must be in its shortest form; fractions and exponents are no whole numbers.
    public var int64: Int64? {
        switch node.kind {
        case .number: wholeNumber(slice)
        case .text: utf8.flatMap { $0.elementsEqual("-0".utf8) ? nil : wholeNumber($0) }
        case .object, .array, .yes, .no, .null: nil
        }
    }

    /// Bytes that are written as base64, as protobuf's JSON mapping does.
    public var base64: [UInt8]? { utf8.flatMap { Base64.decoded($0) } }

    /// The member of that name, if this is an object that has one.
    public subscript(_ name: String) -> JSONValue? {
        guard isObject else { return nil }
        var place = index + 1
        while place < node.next {
            let value = place + 1
            if isName(place, name) { return JSONValue(document: document, index: value) }
            place = Int(document.nodes[value].next)
        }
        return nil
    }

    private func isName(_ place: Int, _ name: String) -> Bool {
        let node = document.nodes[place]
        let found = document.bytes[node.range]
        return node.isEscaped
            ? JSONScanner.unescaped(found).elementsEqual(name.utf8)
            : found.count == name.utf8.count && found.elementsEqual(name.utf8)
    }

    /// The elements of an array; none of another value.
    public var elements: Elements { Elements(document: document, place: index + 1, end: isArray ? Int(node.next) : 0) }

    public struct Elements: Sequence, IteratorProtocol {
        let document: JSONDocument
        var place: Int
        let end: Int

        public mutating func next() -> JSONValue? {
            guard place < end else { return nil }
            defer { place = Int(document.nodes[place].next) }
            return JSONValue(document: document, index: place)
        }
    }

    /// The members of an object in their order; none of another value.
    public var members: Members { Members(document: document, place: index + 1, end: isObject ? Int(node.next) : 0) }

    public struct Members: Sequence, IteratorProtocol {
        let document: JSONDocument
        var place: Int
        let end: Int

        public mutating func next() -> (name: String, value: JSONValue)? {
            guard place < end else { return nil }
            let value = JSONValue(document: document, index: place + 1)
            defer { place = Int(document.nodes[place + 1].next) }
            return (JSONValue(document: document, index: place).text ?? "", value)
        }
    }
}

/// No sign but a minus, no leading zeros; `nil` beyond 64 bits.
private func wholeNumber(_ digits: ArraySlice<UInt8>) -> Int64? {
    let isNegative = digits.first == UInt8(ascii: "-")
    let digits = isNegative ? digits.dropFirst() : digits
    guard let first = digits.first, first != UInt8(ascii: "0") || digits.count == 1 else { return nil }
    var number: Int64 = 0
    for byte in digits {
        guard UInt8(ascii: "0") <= byte, byte <= UInt8(ascii: "9") else { return nil }
        let digit = Int64(byte - UInt8(ascii: "0"))
        let (tenfold, overflows) = number.multipliedReportingOverflow(by: 10)
        let (sum, overflowsToo) = tenfold.addingReportingOverflow(isNegative ? -digit : digit)
        guard !overflows, !overflowsToo else { return nil }
        number = sum
    }
    return number
}
