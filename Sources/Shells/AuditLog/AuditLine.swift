import AuditTrail
import Clock

/// A field of an audit event, in the order of rpcwarden-audit(5).
struct AuditField {
    enum Value {
        case text(String)
        case number(Int64)
        case flag(Bool)
    }

    var key: String
    var value: Value

    static func fields(of event: AuditEvent, at time: Timestamp) -> [AuditField] {
        var fields: [AuditField] = []
        let add = { (key: String, value: Value?) in
            if let value { fields.append(AuditField(key: key, value: value)) }
        }
        let text = { (value: String?) in value.map(Value.text) }
        let number = { (value: Int64?) in value.map(Value.number) }
        add("ts", .text(time.precise))
        add("event", .text(event.kind.rawValue))
        add("client", text(event.client?.description))
        add("port", number(event.port.map(Int64.init)))
        add("transport", text(event.transport?.description))
        add("program", number(event.program.map { Int64($0.rawValue) }))
        add("program_name", text(event.programName))
        add("version", number(event.version.map(Int64.init)))
        add("procedure", text(event.procedure))
        add("over", text(event.over?.description))
        add("decision", text(event.decision))
        add("reason", text(event.reason?.rawValue))
        add("rule", text(event.rule))
        add("xid", number(event.xid.map(Int64.init)))
        add("server", text(event.server))
        add("host", text(event.host))
        add("granted", text(event.granted?.description))
        add("count", number(event.count.map(Int64.init)))
        add("window", event.window.map { .number($0.nanoseconds / 1_000_000_000) })
        add("detail", text(event.detail))
        if !event.isEnforced { add("enforced", .flag(false)) }
        return fields
    }
}

/// One JSON object on one line; text from peers is escaped and truncated.
struct AuditLine {
    /// Limit for field values chosen by peers.
    static let textBytesMax = 512

    private(set) var bytes: [UInt8] = []

    init(_ fields: [AuditField]) {
        bytes.reserveCapacity(384)
        append("{")
        for (index, field) in fields.enumerated() {
            append(index == 0 ? "\"" : ",\"")
            append(field.key)
            append("\":")
            append(field.value)
        }
        append("}\n")
    }

    private mutating func append(_ text: String) {
        bytes.append(contentsOf: text.utf8)
    }

    private mutating func append(_ value: AuditField.Value) {
        switch value {
        case .number(let number): append(String(number))
        case .flag(let flag): append(flag ? "true" : "false")
        case .text(let text):
            append("\"")
            for scalar in text.loggedScalars { escape(scalar) }
            append("\"")
        }
    }

    /// RFC 8259, 7; characters other than printable ASCII are written by number, so that terminals don't interpret them.
    private mutating func escape(_ scalar: Unicode.Scalar) {
        switch scalar {
        case "\"", "\\":
            bytes.append(UInt8(ascii: "\\"))
            bytes.append(UInt8(ascii: scalar))
        case " "..."~": bytes.append(UInt8(ascii: scalar))
        case _:
            for unit in scalar.utf16 {
                let digits = String(unit, radix: 16)
                append("\\u" + String(repeating: "0", count: 4 - digits.count) + digits)
            }
        }
    }
}

extension String {
    /// The characters of the text that a log tells: whole ones, of ``AuditLine/textBytesMax`` bytes in UTF-8.
    var loggedScalars: Substring.UnicodeScalarView {
        var end =
            utf8.index(utf8.startIndex, offsetBy: AuditLine.textBytesMax, limitedBy: utf8.endIndex) ?? utf8.endIndex
        while end.samePosition(in: unicodeScalars) == nil { end = utf8.index(before: end) }
        return unicodeScalars[..<end]
    }
}
