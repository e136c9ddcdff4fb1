/// A question to etcd's gateway: the path below `/v3/`, and the body.
struct Request: Hashable {
    var path: String
    var body: [UInt8]

    private init(_ path: String, _ fill: (inout RequestBody) -> Void) {
        self.path = "/v3/" + path
        body = RequestBody.of(fill)
    }

    /// Linearizable always: a partitioned member must not answer from its old copy.
    static func range(_ range: EtcdRange, limit: Int, revision: Int64?, keysOnly: Bool) -> Request {
        Request("kv/range") { body in
            body.put(range)
            body.put("limit", number: Int64(limit))
            if let revision { body.put("revision", number: revision) }
            if keysOnly { body.put("keys_only", isTrue: true) }
        }
    }

    static func transaction(_ compares: [EtcdCompare], _ operations: [EtcdOperation]) -> Request {
        Request("kv/txn") { body in
            body.put("compare", each: compares) { $0.put($1) }
            body.put("success", each: operations) { $0.put($1) }
        }
    }

    static func grantLease(seconds: Int64) -> Request {
        Request("lease/grant") { $0.put("TTL", number: seconds) }
    }

    static func keepLease(_ id: Int64) -> Request { Request("lease/keepalive") { $0.put("ID", number: id) } }

    static func revokeLease(_ id: Int64) -> Request { Request("lease/revoke") { $0.put("ID", number: id) } }

    static func authenticate(_ credentials: EtcdCredentials) -> Request {
        Request("auth/authenticate") { body in
            body.put("name", text: credentials.user)
            body.put("password", text: credentials.password)
        }
    }

    /// One line for each range; the gateway passes them on as one gRPC stream.
    static func watch(_ ranges: [EtcdRange], from revision: Int64) -> Request {
        var request = Request("watch") { _ in }
        request.body = []
        for (index, range) in ranges.enumerated() {
            request.body += RequestBody.of { body in
                body.put("create_request") { (body: inout RequestBody) in
                    body.put(range)
                    body.put("start_revision", number: revision)
                    body.put("watch_id", number: Int64(index + 1))
                    // Otherwise one message may carry a thousand revisions of up to 1.5 MiB each.
                    body.put("fragment", isTrue: true)
                }
            }
            request.body.append(UInt8(ascii: "\n"))
        }
        return request
    }
}

extension RequestBody {
    fileprivate mutating func put(_ range: EtcdRange) {
        put("key", bytes: range.from)
        if let to = range.to { put("range_end", bytes: to) }
    }

    fileprivate mutating func put(_ compare: EtcdCompare) {
        put("result", word: "EQUAL")
        switch compare {
        case .isMissing(let key):
            put("key", bytes: key)
            put("target", word: "VERSION")
            put("version", number: 0)
        case .value(let key, let value):
            put("key", bytes: key)
            put("target", word: "VALUE")
            put("value", bytes: value)
        case .modRevision(let key, let revision):
            put("key", bytes: key)
            put("target", word: "MOD")
            put("mod_revision", number: revision)
        }
    }

    fileprivate mutating func put(_ operation: EtcdOperation) {
        switch operation {
        case .put(let key, let value, let lease):
            put("request_put") { (body: inout RequestBody) in
                body.put("key", bytes: key)
                body.put("value", bytes: value)
                if lease != 0 { body.put("lease", number: lease) }
            }
        case .delete(let key): put("request_delete_range") { $0.put("key", bytes: key) }
        case .deleteRange(let range): put("request_delete_range") { $0.put(range) }
        }
    }
}
