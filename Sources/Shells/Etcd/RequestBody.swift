import JSON

/// Writes a request as protobuf's JSON mapping has it: bytes as base64, 64-bit numbers as text.
struct RequestBody {
    private(set) var bytes: [UInt8] = [UInt8(ascii: "{")]

    private mutating func name(_ name: String) {
        if bytes.last != UInt8(ascii: "{") { bytes.append(UInt8(ascii: ",")) }
        bytes += "\"\(name)\":".utf8
    }

    mutating func put(_ name: String, bytes value: [UInt8]) {
        self.name(name)
        bytes.append(UInt8(ascii: "\""))
        Base64.append(value, to: &bytes)
        bytes.append(UInt8(ascii: "\""))
    }

    mutating func put(_ name: String, number: Int64) {
        self.name(name)
        bytes += "\"\(number)\"".utf8
    }

    mutating func put(_ name: String, isTrue: Bool) {
        self.name(name)
        bytes += (isTrue ? "true" : "false").utf8
    }

    /// A name of an enumeration.
    mutating func put(_ name: String, word: String) {
        self.name(name)
        bytes += "\"\(word)\"".utf8
    }

    /// Quotation marks, backslashes and control characters are escaped (RFC 8259, 7).
    mutating func put(_ name: String, text: String) {
        self.name(name)
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
            case ..<0x20: bytes += "\\u00\(byte < 16 ? "0" : "")\(String(byte, radix: 16))".utf8
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }

    mutating func put(_ name: String, _ fill: (inout RequestBody) -> Void) {
        self.name(name)
        bytes += RequestBody.of(fill)
    }

    mutating func put<Elements: Sequence>(
        _ name: String, each elements: Elements, _ fill: (inout RequestBody, Elements.Element) -> Void
    ) {
        self.name(name)
        bytes.append(UInt8(ascii: "["))
        for element in elements {
            if bytes.last != UInt8(ascii: "[") { bytes.append(UInt8(ascii: ",")) }
            bytes += RequestBody.of { fill(&$0, element) }
        }
        bytes.append(UInt8(ascii: "]"))
    }

    static func of(_ fill: (inout RequestBody) -> Void) -> [UInt8] {
        var body = RequestBody()
        fill(&body)
        return body.bytes + [UInt8(ascii: "}")]
    }
}
