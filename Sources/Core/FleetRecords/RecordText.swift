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
    }

    public static func bytes(_ record: FleetRecord) -> [UInt8] {
        var writer = JSONWriter()
        writer.version()
        writer.record(record)
        return writer.bytes
    }

    /// Members that aren't known are read over.
    public static func record(
        _ bytes: some Collection<UInt8>, of kind: FleetRecord.Kind
    ) throws(Fault) -> FleetRecord {
        guard let object = JSONObject(bytes) else { throw .malformed }
        guard object.number("v") == version else { throw .version }
        return try MemberReader(object: object).record(kind)
    }
}

extension JSONWriter {
    mutating func record(_ record: FleetRecord) {
        switch record {
        case .grant(let grant):
            time("issued", grant.issued)
            time("used", grant.used)
            text("rule", grant.rule)
            duration("keep", grant.keep)
            if let origin = grant.origin { text("origin", origin) }
        case .ended(let ended):
            time("at", ended.at)
            text("why", ended.why.rawValue)
            if let revoked = ended.revoked, ended.why != .revoked { time("revoked", revoked) }
        case .quarantine(let quarantine):
            time("from", quarantine.from)
            time("until", quarantine.until)
            text("evidence", quarantine.evidence.rawValue)
            number("denials", quarantine.denials)
        case .status(let status):
            text("version", status.version)
            text("mode", status.mode)
            number("policy", status.serial)
            flag("table", status.isGuarding)
            flag("rpcbind", status.isRpcbindUp)
            number("grants", status.grants)
            number("denials-1h", status.denialsPerHour)
            time("since", status.since)
        }
    }
}
