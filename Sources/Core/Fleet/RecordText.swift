import Bundles
import Clock

/// Writes the members of a JSON object.
private struct JSONWriter {
    private(set) var text = "{\"v\":\(RecordText.version)"

    mutating func text(_ name: String, _ value: String) {
        text += ",\"\(name)\":\""
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

    mutating func number(_ name: String, _ value: some BinaryInteger) { text(name, String(value)) }
    mutating func time(_ name: String, _ value: Timestamp) { number(name, value.milliseconds) }
}

/// The values of keys as JSON: times in milliseconds since 1970, durations in milliseconds.
public enum RecordText {
    public static let version: Int64 = 1
    public static let bytesMax = JSONObject.bytesMax

    public enum Fault: Error, Hashable, Sendable {
        /// Longer than a value may be, or no object of JSON.
        case malformed
        /// Written by another version.
        case version
        /// A member is missing, or means nothing.
        case member(String)
        /// The key is none that a node writes.
        case key
    }

    public static func bytes(_ record: FleetRecord) -> [UInt8] {
        var writer = JSONWriter()
        switch record {
        case .grant(let grant):
            writer.time("issued", grant.issued)
            writer.time("used", grant.used)
            writer.text("rule", grant.rule)
            writer.number("keep", grant.keep.nanoseconds / 1_000_000)
            if let origin = grant.origin { writer.text("origin", origin) }
        case .ended(let ended):
            writer.time("at", ended.at)
            writer.text("why", ended.why.rawValue)
            if let revoked = ended.revoked, ended.why != .revoked { writer.time("revoked", revoked) }
        case .quarantine(let quarantine):
            writer.time("from", quarantine.from)
            writer.time("until", quarantine.until)
            writer.text("evidence", quarantine.evidence.rawValue)
            writer.number("denials", quarantine.denials)
        case .status(let status):
            writer.text("version", status.version)
            writer.text("mode", status.mode)
            writer.number("policy", status.serial)
            writer.number("grants", status.grants)
            writer.number("denials-1h", status.denialsPerHour)
            writer.time("since", status.since)
        }
        return Array((writer.text + "}").utf8)
    }

    /// Members that aren't known are read over.
    public static func record(_ bytes: some Collection<UInt8>, of key: FleetKey) throws(Fault) -> FleetRecord {
        guard let object = JSONObject(bytes) else { throw .malformed }
        guard object.number("v") == version else { throw .version }
        let reader = MemberReader(object: object)
        switch key {
        case .grant: return .grant(try reader.grant())
        case .ended: return .ended(try reader.ended())
        case .quarantine: return .quarantine(try reader.quarantine())
        case .status: return .status(try reader.status())
        case .currentPolicy, .policyPiece, .order: throw .key
        }
    }
}

private struct MemberReader {
    let object: JSONObject

    func time(_ name: String) throws(RecordText.Fault) -> Timestamp {
        guard let number = object.number(name), GrantRecord.times.contains(number) else { throw .member(name) }
        return Timestamp(milliseconds: number)
    }

    func count<Number: FixedWidthInteger>(_ name: String) throws(RecordText.Fault) -> Number {
        guard let number = object.number(name).flatMap({ Number(exactly: $0) }) else { throw .member(name) }
        return number
    }

    func text(_ name: String) throws(RecordText.Fault) -> String {
        guard let text = object.text(name), text.utf8.count <= GrantRecord.textBytesMax else { throw .member(name) }
        return text
    }

    func grant() throws(RecordText.Fault) -> GrantRecord {
        let keep: UInt32 = try count("keep")
        guard keep > 0 else { throw .member("keep") }
        let origin = object.text("origin")
        guard origin.map(PolicyBundle.isName) ?? true else { throw .member("origin") }
        return GrantRecord(
            issued: try time("issued"), used: try time("used"), rule: try text("rule"),
            keep: .milliseconds(Int64(keep)), origin: origin)
    }

    func ended() throws(RecordText.Fault) -> EndedRecord {
        guard let why = EndedRecord.Reason(rawValue: try text("why")), why != .expired else { throw .member("why") }
        let revoked = object.members["revoked"] == nil ? nil : try time("revoked")
        return EndedRecord(at: try time("at"), why: why, revoked: revoked)
    }

    func quarantine() throws(RecordText.Fault) -> QuarantineRecord {
        guard let evidence = QuarantineRecord.Evidence(rawValue: try text("evidence")) else {
            throw .member("evidence")
        }
        return QuarantineRecord(
            from: try time("from"), until: try time("until"), evidence: evidence, denials: try count("denials"))
    }

    func status() throws(RecordText.Fault) -> NodeStatus {
        NodeStatus(
            version: try text("version"), mode: try text("mode"), serial: try count("policy"),
            grants: try count("grants"), denialsPerHour: try count("denials-1h"), since: try time("since"))
    }
}
