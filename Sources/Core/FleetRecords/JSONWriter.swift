import Clock

/// Writes a small JSON object, member by member; 64-bit numbers are written as text, as etcd does.
public struct JSONWriter {
    private var text = "{"

    public init() {}

    public mutating func number(_ name: String, _ value: some BinaryInteger) { text(name, String(value)) }
    public mutating func time(_ name: String, _ value: Timestamp) { number(name, value.milliseconds) }
    public mutating func duration(_ name: String, _ value: Duration) { number(name, value.nanoseconds / 1_000_000) }
    public mutating func flag(_ name: String, _ value: Bool) { if value { number(name, 1) } }
    /// For people's programs, which expect a number and `true`; one that JavaScript keeps exact.
    public mutating func plain(_ name: String, _ value: some BinaryInteger) { member(name, String(value)) }
    public mutating func plain(_ name: String, _ value: Bool) { member(name, value ? "true" : "false") }
    public mutating func version() { member("v", "\(RecordText.version)") }

    private mutating func member(_ name: String, _ value: String) {
        if text.utf8.count > 1 { text += "," }
        text += "\"\(name)\":\(value)"
    }

    public mutating func text(_ name: String, _ value: String) {
        member(name, "\"")
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"", "\\": text += "\\\(scalar)"
            case "\u{0}"..<" ":
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        text += "\""
    }

    public var bytes: [UInt8] { Array((text + "}").utf8) }
    /// The same as a line, with its end.
    public var line: [UInt8] { bytes + [UInt8(ascii: "\n")] }
}
