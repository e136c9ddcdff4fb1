import JSON

/// Results as values: what is left out is zero, what is of another kind is refused.
extension JSONValue {
    func whole(_ name: String) throws(EtcdError) -> Int64 {
        guard let value = self[name] else { return 0 }
        guard let number = value.int64 else { throw .malformed("\(name) is no number") }
        return number
    }

    func claim(_ name: String) throws(EtcdError) -> Bool {
        guard let value = self[name] else { return false }
        guard let claim = value.bool else { throw .malformed("\(name) is neither true nor false") }
        return claim
    }

    func bytes(_ name: String) throws(EtcdError) -> [UInt8] {
        guard let value = self[name] else { return [] }
        guard let bytes = value.base64 else { throw .malformed("\(name) is no base64") }
        return bytes
    }

    var headerRevision: Int64 {
        get throws(EtcdError) { try self["header"]?.whole("revision") ?? 0 }
    }

    var keyValue: EtcdKeyValue {
        get throws(EtcdError) {
            EtcdKeyValue(
                key: try bytes("key"), value: try bytes("value"), modRevision: try whole("mod_revision"),
                lease: try whole("lease"))
        }
    }

    var page: EtcdPage {
        get throws(EtcdError) {
            var records: [EtcdKeyValue] = []
            if let found = self["kvs"] {
                for record in found.elements { records.append(try record.keyValue) }
            }
            return EtcdPage(records: records, revision: try headerRevision, hasMore: try claim("more"))
        }
    }

    var outcome: EtcdOutcome {
        get throws(EtcdError) {
            EtcdOutcome(succeeded: try claim("succeeded"), revision: try headerRevision)
        }
    }

    var lease: EtcdLease {
        get throws(EtcdError) { EtcdLease(id: try whole("ID"), seconds: try whole("TTL")) }
    }
}
