import Etcd
import Testing

/// Against a member that answers what it likes.
@Suite("a hostile member") struct HostileMemberTests {
    private static let key = bytes("k")
    private static let page = "{\"header\":{\"revision\":\"7\"}}"

    private func answer(_ reply: FakeMember.Reply) throws -> EtcdError? {
        try withFake { _ in
            reply
        } body: { client, _ in
            failure { try client.probe(Self.key).wait() }
        }
    }

    @Test(
        "what can't be read is refused",
        arguments: [
            "", "x", "[]x", "{\"header\":{\"revision\":\"x\"}}", "{\"header\":{\"revision\":1.5}}",
            "{\"header\":{\"revision\":\"9223372036854775808\"}}", "{\"header\":1,\"header\":2}",
            String(repeating: "[", count: 100_000),
        ])
    func malformed(text: String) throws {
        guard case .malformed? = try answer(.json(text)) else { return #expect(Bool(false), "\(text.prefix(100))") }
    }

    @Test(
        "that is no etcd is left for the next one", arguments: [("502 Bad Gateway", "<html>"), ("200 OK", "<html>")])
    func isLeft(status: String, text: String) throws {
        let first = try FakeMember { _ in .json(text, status: status) }
        defer { first.stop() }
        let second = try FakeMember { _ in .json(Self.page) }
        defer { second.stop() }
        try withClient(.plain(first.endpoint, second.endpoint)) { client in
            #expect(failure { try client.probe(Self.key).wait() } != nil)
            let revision = try client.probe(Self.key).wait().revision
            #expect(revision == 7)
        }
    }

    @Test("keys that are no base64, numbers and claims that are none, are refused")
    func malformedRecords() throws {
        for text in [
            "{\"kvs\":[{\"key\":\"a\"}]}", "{\"kvs\":[{\"key\":\"YQ==\",\"value\":7}]}",
            "{\"kvs\":[{\"mod_revision\":true}]}", "{\"more\":1}",
        ] {
            try withFake { _ in
                .json(text)
            } body: { client, _ in
                let failed = failure { try client.range(EtcdRange(key: Self.key)).wait() }
                guard case .malformed? = failed else { return #expect(Bool(false), "\(text)") }
            }
        }
    }

    @Test("a body beyond the limit is not taken, told or not, and the connection ends")
    func overlong() throws {
        let size = EtcdLimits.responseBytesMax + 1
        let head = bytes("HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n")
        #expect(try answer(.bytes(head + [UInt8](repeating: 0x20, count: size))) == .tooLarge)
        #expect(try answer(.stream(String(repeating: " ", count: size))) == .tooLarge)
        // As many values as bytes permit would take 16 bytes each.
        #expect(try answer(.json("[" + String(repeating: "0,", count: 1 << 20) + "0]")) == .tooLarge)
    }

    @Test("a page beyond the limit is asked for by halves; a value beyond it is passed over, and counted")
    func largePages() throws {
        let tooLong = FakeMember.Reply.stream(String(repeating: " ", count: EtcdLimits.responseBytesMax + 1))
        try withFake { call in
            if call.body.contains("keys_only") { return .json("{\"kvs\":[{\"key\":\"YQ==\"}],\"more\":true}") }
            return call.body.contains("\"limit\":\"4\"") || call.body.contains("\"limit\":\"1\"")
                ? tooLong : .json("{\"kvs\":[{\"key\":\"YQ==\"},{\"key\":\"Yg==\"}],\"more\":true}")
        } body: { client, member in
            let page = try client.page(of: EtcdRange(prefix: Self.key), after: nil, max: 4, revision: nil).wait()
            #expect(page.records.map(\.key) == [bytes("a"), bytes("b")] && page.limit == 2 && page.hasMore)
            #expect(page.lastKey == bytes("b") && page.oversized == 0)
            let one = try client.page(of: EtcdRange(prefix: Self.key), after: nil, max: 1, revision: nil).wait()
            #expect(one.records == [] && one.oversized == 1 && one.lastKey == bytes("a") && one.hasMore)
            #expect(member.calls.count == 4)
        }
    }

    @Test("a page that goes back, or has more and nothing, is refused: it would be asked for without an end")
    func pagesWithoutEnd() throws {
        for kvs in ["[]", "[{\"key\":\"YQ==\"}]"] {
            try withFake { _ in
                .json("{\"kvs\":\(kvs),\"more\":true}")
            } body: { client, _ in
                let failed = failure {
                    try client.page(of: EtcdRange(prefix: Self.key), after: bytes("a"), max: 4, revision: nil).wait()
                }
                #expect(failed == .malformed("a page goes back"))
            }
        }
    }

    @Test("heads beyond the limits, and what is no HTTP, lose the member")
    func heads() throws {
        let long = "HTTP/1.1 200 OK\r\nX: \(String(repeating: "x", count: 20_000))\r\nContent-Length: 0\r\n\r\n"
        let many = "HTTP/1.1 200 OK\r\n\(String(repeating: "X: y\r\n", count: 100))Content-Length: 0\r\n\r\n"
        let short = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"
        for text in [long, many, "SSH-2.0-x\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"] {
            guard case .lost? = try answer(.bytes(bytes(text))) else { return #expect(Bool(false), "\(text)") }
        }
        for text in ["", short] {
            guard case .lost? = try answer(.thenClose(bytes(text))) else { return #expect(Bool(false), "\(text)") }
        }
    }

    @Test("silence ends by the deadline, for what waits behind too; the next request finds another connection")
    func silence() throws {
        try withFake(timeout: .milliseconds(300)) { call in
            call.connection == 0 ? .silence : .json(Self.page)
        } body: { client, member in
            let (first, second) = (client.probe(Self.key), client.probe(Self.key))
            #expect(failure { try first.wait() } == .timedOut)
            #expect(failure { try second.wait() } != nil)
            let revision = try eventually {
                try client.probe(Self.key).wait().revision
            } while: {
                $0 == .timedOut
            }
            #expect(revision == 7)
            #expect(!member.calls.contains { !$0.asksForLeader })
        }
    }

    @Test("a token that is refused twice fails the request; one that no header can carry is none")
    func tokens() throws {
        let credentials = EtcdCredentials(user: "u", password: "p")
        let invalid = "{\"error\":\"etcdserver: invalid auth token\",\"code\":16}"
        try withFake(credentials: credentials) { call in
            call.path == "/v3/auth/authenticate"
                ? .json("{\"token\":\"t\"}") : .json(invalid, status: "401 Unauthorized")
        } body: { client, member in
            let failed = failure { try client.probe(Self.key).wait() }
            #expect(failed == .refused(code: 16, message: "etcdserver: invalid auth token"))
            #expect(member.calls.map(\.token) == [nil, "t", nil, "t"])
            #expect(Set(member.calls.map(\.connection)) == [0])
        }
        for token in ["", "a b", "a\\r\\nX: y", "é", String(repeating: "x", count: 10_000)] {
            try withFake(credentials: credentials) { _ in
                .json("{\"token\":\"\(token)\"}")
            } body: { client, _ in
                #expect(failure { try client.probe(Self.key).wait() } == .malformed("no token was given"))
            }
        }
    }

    @Test("too many questions at once are refused, and the rest are answered")
    func waiting() throws {
        try withFake { _ in
            .json(Self.page)
        } body: { client, _ in
            let answers = try client.loop.submit {
                (0..<EtcdLimits.waitingMax + 50).map { _ in client.probe(Self.key) }
            }.wait()
            let failures = answers.map { answer in failure { try answer.wait() } }
            #expect(Set(failures) == [nil, .busy])
            #expect(failures.count { $0 == nil } >= EtcdLimits.waitingMax)
        }
    }

    @Test("a connection that the member ends after an answer is opened anew")
    func closing() throws {
        try withFake { _ in
            .thenClose(bytes("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 27\r\n\r\n\(Self.page)"))
        } body: { client, member in
            for _ in 0..<3 { _ = try client.probe(Self.key).wait() }
            #expect(member.calls.map(\.connection) == [0, 1, 2])
        }
    }
}
