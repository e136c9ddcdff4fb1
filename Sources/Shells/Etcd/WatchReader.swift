import JSON

/// Reads the lines of a watch.
struct WatchReader {
    private let rangeCount: Int
    private var created: Set<Int> = []

    init(rangeCount: Int) { self.rangeCount = rangeCount }

    mutating func read(_ line: [UInt8]) -> EtcdWatchEvent? {
        do {
            return try event(try Response.document(line).root)
        } catch {
            return .ended(Self.end(error))
        }
    }

    /// A refusal doesn't end by trying again; the rest may.
    static func end(_ error: EtcdError) -> EtcdWatchEnd {
        switch error {
        case .refused(_, let message): .canceled(message)
        case .compacted(let revision): .compacted(revision ?? 0)
        case .lost, .timedOut, .leaseNotFound, .tooLarge, .busy, .malformed: .lost("\(error)")
        }
    }

    private mutating func event(_ root: JSONValue) throws(EtcdError) -> EtcdWatchEvent? {
        if let failure = root["error"] { throw Response.error(failure, root) }
        guard let result = root["result"] else { throw .malformed("a watch's line has no result") }
        let compacted = try result.whole("compact_revision")
        if compacted > 0 { return .ended(.compacted(compacted)) }
        if try result.claim("canceled") {
            return .ended(.canceled(Self.reason(result["cancel_reason"]?.text)))
        }
        let range = try range(of: result)
        if try result.claim("created") {
            created.insert(range)
            return created.count == rangeCount ? .opened(revision: try result.headerRevision) : nil
        }
        let changes = try Self.changes(result)
        guard let last = changes.last else { return nil }
        // A header's revision is the store's, which a watch that catches up hasn't told yet. The rest of a split
        // revision comes with the next fragment.
        let isSplit = try result.claim("fragment")
        return .changed(range: range, changes, revision: isSplit ? last.revision - 1 : last.revision)
    }

    private func range(of result: JSONValue) throws(EtcdError) -> Int {
        let id = try result.whole("watch_id")
        guard id >= 1, id <= Int64(rangeCount) else { throw .malformed("there is no watch \(id)") }
        return Int(id) - 1
    }

    private static func reason(_ text: String?) -> String {
        // "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
        let text = text ?? "no reason is given"
        let words = text.firstRange(of: " desc = ").map { text[$0.upperBound...] } ?? text[...]
        return String(words.prefix(EtcdLimits.reasonCharactersMax))
    }

    private static func changes(_ result: JSONValue) throws(EtcdError) -> [EtcdChange] {
        guard let events = result["events"] else { return [] }
        var changes: [EtcdChange] = []
        for event in events.elements {
            guard let record = event["kv"] else { throw .malformed("an event has no key") }
            // PUT is zero, and therefore left out.
            if let type = event["type"], type.text != "PUT" {
                guard type.text == "DELETE" else { throw .malformed("an event is neither put nor delete") }
                changes.append(
                    .delete(key: try record.bytes("key"), revision: try record.whole("mod_revision")))
            } else {
                changes.append(.put(try record.keyValue))
            }
        }
        return changes
    }
}
