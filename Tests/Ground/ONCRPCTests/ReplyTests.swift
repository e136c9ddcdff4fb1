import ONCRPC
import Testing

private func reply(_ bytes: [UInt8]) throws -> Reply {
    try bytes.withUnsafeBytes { raw in try Reply(decoding: raw) }
}

@Suite("reply") struct ReplyTests {
    /// Each body with its bytes, which follow xid and message type (RFC 5531, 9).
    static let bodies: [(Reply.Body, [UInt8])] = [
        (.success([]), xdr(0, 0, 0, 0)),
        (.success(xdr(2049)), xdr(0, 0, 0, 0, 2049)),
        (.success([1, 2, 3]), xdr(0, 0, 0, 0) + [1, 2, 3]),
        (.programUnavailable, xdr(0, 0, 0, 1)),
        (.programMismatch(low: 2, high: 4), xdr(0, 0, 0, 2, 2, 4)),
        (.procedureUnavailable, xdr(0, 0, 0, 3)),
        (.garbageArguments, xdr(0, 0, 0, 4)),
        (.systemError, xdr(0, 0, 0, 5)),
        (.rpcMismatch(low: 2, high: 2), xdr(1, 0, 2, 2)),
        (.authError(.badCredential), xdr(1, 1, 1)),
        (.authError(.rejectedCredential), xdr(1, 1, 2)),
        (.authError(.badVerifier), xdr(1, 1, 3)),
        (.authError(.rejectedVerifier), xdr(1, 1, 4)),
        (.authError(.tooWeak), xdr(1, 1, 5)),
        (.authError(.invalidResponse), xdr(1, 1, 6)),
        (.authError(.failed), xdr(1, 1, 7)),
    ]

    @Test("each body has the bytes of RFC 5531, and is read back", arguments: bodies)
    func roundTrip(body: Reply.Body, bytes: [UInt8]) throws {
        let message = xdr(77, 1) + bytes
        #expect(Reply(xid: 77, body: body).encoded == message)
        #expect(try reply(message) == Reply(xid: 77, body: body))
    }

    @Test("no truncated reply decodes, but results cut short are the caller's to judge", arguments: bodies)
    func truncated(body: Reply.Body, bytes: [UInt8]) {
        let message = xdr(77, 1) + bytes
        var headCount = message.count
        if case .success(let results) = body { headCount -= results.count }
        for count in 0..<headCount {
            #expect(throws: XDRError.truncated) { try reply(Array(message.prefix(count))) }
        }
    }

    @Test("bytes behind a refusal are refused", arguments: bodies)
    func trailing(body: Reply.Body, bytes: [UInt8]) {
        if case .success = body { return }
        #expect(throws: XDRError.trailing(4)) { try reply(xdr(77, 1) + bytes + xdr(0)) }
        #expect(throws: XDRError.trailing(1)) { try reply(xdr(77, 1) + bytes + [0]) }
    }

    @Test(
        "a call, and a status that the RFC lacks, are no reply",
        arguments: [
            (xdr(77, 0, 0, 0, 0, 0), XDRError.invalid(0)),
            (xdr(77, 2, 0, 0, 0, 0), .invalid(2)),
            (xdr(77, 1, 2, 0, 0, 0), .invalid(2)),
            (xdr(77, 1, 0, 0, 0, 6), .invalid(6)),
            (xdr(77, 1, 1, 2, 0, 0), .invalid(2)),
            (xdr(77, 1, 1, 1, 0), .invalid(0)),
            (xdr(77, 1, 1, 1, 8), .invalid(8)),
        ])
    func invalid(bytes: [UInt8], error: XDRError) {
        #expect(throws: error) { try reply(bytes) }
    }

    @Test("a verifier is passed over up to 400 bytes")
    func verifier() throws {
        #expect(try reply(xdr(77, 1, 0, 6) + opaque(count: 400) + xdr(0, 9)) == Reply(xid: 77, body: .success(xdr(9))))
        #expect(throws: XDRError.tooLong(length: 401, limit: 400)) {
            try reply(xdr(77, 1, 0, 6) + opaque(count: 401) + xdr(0, 9))
        }
    }
}
