import JSON

/// The whole answer to one request.
struct Response {
    var status: UInt
    var body: [UInt8]

    /// Whether the body is JSON, as etcd's are but for a few refusals.
    var isDocument: Bool {
        do {
            _ = try Self.document(body)
            return true
        } catch {
            return false
        }
    }

    /// The result, out of its envelope if the call is a stream.
    func result() throws(EtcdError) -> JSONValue {
        guard status == 200 else { throw refusal }
        let root = try Self.document(body).root
        if let failure = root["error"] { throw Self.error(failure, root) }
        return root["result"] ?? root
    }

    /// Some refusals are plain texts: a certificate with a common name, an unknown path.
    private var refusal: EtcdError {
        do {
            let root = try Self.document(body).root
            // Newer gateways tell failures without the member `error`.
            return Self.error(root["error"] ?? root, root)
        } catch {
            let text = body.prefix(EtcdLimits.reasonCharactersMax).map { (0x20...0x7e).contains($0) ? $0 : 0x20 }
            return .refused(code: 2, message: "HTTP status \(status): \(String(decoding: text, as: UTF8.self))")
        }
    }

    static func document(_ bytes: [UInt8]) throws(EtcdError) -> JSONDocument {
        do {
            return try JSONDocument(bytes, limits: EtcdLimits.json)
        } catch {
            switch error {
            case .tooLong, .tooManyValues: throw .tooLarge
            case .tooDeep, .tooManyMembers, .duplicateMember, .malformed:
                throw .malformed("\(error)")
            }
        }
    }

    /// - Parameters:
    ///   - failure: the text, or an object with code and text, as a stream has it.
    ///   - root: the object that a text's code stands in.
    static func error(_ failure: JSONValue, _ root: JSONValue) -> EtcdError {
        let holder = failure.isObject ? failure : root
        let code = (holder["grpc_code"] ?? holder["code"])?.int64.flatMap { Int(exactly: $0) } ?? 2
        let message = holder["message"]?.text ?? failure.text ?? "no reason is given"
        return error(code: code, message: String(message.prefix(EtcdLimits.reasonCharactersMax)))
    }

    /// By gRPC's code (grpc.io, "Status codes") and etcd's text (`api/v3rpc/rpctypes/error.go`).
    private static func error(code: Int, message: String) -> EtcdError {
        if message.contains("has been compacted") { return .compacted(nil) }
        if message.contains("requested lease not found") { return .leaseNotFound }
        if message.contains("request is too large") { return .tooLarge }
        // Deadline exceeded; unavailable: no leader, an election, a member that stops. Too many: a member in trouble.
        if code == 4 || code == 14 || message.contains("too many requests") { return .lost(message) }
        return .refused(code: code, message: message)
    }
}

extension EtcdError {
    /// The token idled out, or users were changed since it was given.
    var isAboutToken: Bool {
        guard case .refused(let code, let message) = self else { return false }
        return code == 16 || message.contains("invalid auth token") || message.contains("auth store is old")
    }
}
