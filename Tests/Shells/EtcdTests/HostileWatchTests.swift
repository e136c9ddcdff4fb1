import Etcd
import Glibc
import Testing

/// Against a member that answers what it likes.
@Suite("a hostile watch") struct HostileWatchTests {
    private static let ranges = [EtcdRange(key: bytes("a")), EtcdRange(key: bytes("b"))]
    private static let created =
        "{\"result\":{\"watch_id\":\"1\",\"created\":true}}\n{\"result\":{\"watch_id\":\"2\",\"created\":true}}\n"

    /// What the watch tells if the member's stream begins so; it ends with the client.
    private func told(_ lines: String, until isTold: (Told) -> Bool = { $0.end != nil }) throws -> [EtcdWatchEvent] {
        try told(reply: .stream(lines), until: isTold)
    }

    private func told(
        reply: FakeMember.Reply, until isTold: (Told) -> Bool = { $0.end != nil }
    ) throws -> [EtcdWatchEvent] {
        try withFake { call in
            call.path == "/v3/watch" ? reply : .json("{\"header\":{\"revision\":\"7\"}}")
        } body: { client, _ in
            let told = Told()
            _ = client.watch(Self.ranges, from: 1) { told.add($0) }
            try told.wait(isTold)
            return told.all
        }
    }

    @Test(
        "ends with the first line that is none of a watch",
        arguments: [
            "x\n", "{}\n", "[]\n", "{\"result\":{\"created\":true}}\n",
            "{\"result\":{\"watch_id\":\"3\",\"created\":true}}\n",
            "{\"result\":{\"watch_id\":\"-9223372036854775808\",\"created\":true}}\n",
            "{\"result\":{\"watch_id\":\"1\",\"events\":[{}]}}\n",
            "{\"result\":{\"watch_id\":\"1\",\"events\":[{\"type\":\"MOVE\",\"kv\":{}}]}}\n",
            "{\"result\":{\"watch_id\":\"1\",\"events\":[{\"kv\":{\"key\":\"!\"}}]}}\n",
        ])
    func malformed(line: String) throws {
        let events = try told(line + Self.created)
        guard case .ended(.lost(let reason))? = events.last, reason.contains("can't be read"), events.count == 1 else {
            return #expect(Bool(false), "\(events)")
        }
    }

    @Test("ends with a line that is too long, also one without an end")
    func longLines() throws {
        let line = String(repeating: " ", count: EtcdLimits.responseBytesMax + 1)
        #expect(try told(line) == [.ended(.lost("a line of the watch is too long"))])
        #expect(try told(Self.created + line).last == .ended(.lost("a line of the watch is too long")))
    }

    @Test("errors in the stream, and instead of it, are told")
    func errors() throws {
        let noLeader = "{\"error\":{\"grpc_code\":14,\"http_code\":503,\"message\":\"etcdserver: no leader\"}}"
        #expect(try told(Self.created + noLeader + "\n").last == .ended(.lost("etcdserver: no leader")))
        // The gateway ends no line behind it, but the stream.
        let ended = FakeMember.Reply.bytes(
            Array("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".utf8) + FakeMember.Reply.chunk(noLeader)
                + Array("0\r\n\r\n".utf8))
        #expect(try told(reply: ended) == [.ended(.lost("etcdserver: no leader"))])
        let unavailable = "{\"error\":\"x\",\"message\":\"etcdserver: no leader\",\"code\":14}"
        #expect(
            try told(reply: .json(unavailable, status: "503 Service Unavailable"))
                == [.ended(.lost("etcdserver: no leader"))])
        #expect(try told(reply: .json("Not Found", status: "404 Not Found")).count == 1)
        #expect(try told(reply: .thenClose([])).count == 1)
    }

    @Test("a watch that is never opened ends by the deadline")
    func silence() throws {
        try withFake(timeout: .milliseconds(300)) { call in
            call.path == "/v3/watch" ? .stream(String(Self.created.prefix(40))) : .json("{}")
        } body: { client, _ in
            let (_, told) = try client.opened(Self.ranges, from: 1)
            guard case .lost(let reason)? = told.end, reason.contains("wasn't opened") else {
                return #expect(Bool(false), "\(told.all)")
            }
        }
    }

    @Test("a split revision isn't told as complete before its last piece")
    func fragments() throws {
        let event = "{\"kv\":{\"key\":\"YQ==\",\"mod_revision\":\"9\"}}"
        let lines =
            "{\"result\":{\"watch_id\":\"1\",\"fragment\":true,\"events\":[\(event)]}}\n"
            + "{\"result\":{\"watch_id\":\"1\",\"events\":[\(event)]}}\n{\"result\":{\"watch_id\":\"2\"}}\n"
        let events = try told(Self.created + lines) { $0.all.count == 3 }
        let put = EtcdChange.put(EtcdKeyValue(key: bytes("a"), value: [], modRevision: 9, lease: 0))
        #expect(
            events == [
                .opened(revision: 0), .changed(range: 0, [put], revision: 8), .changed(range: 0, [put], revision: 9),
            ])
    }

    @Test("no more than a few watches are open at once")
    func tooMany() throws {
        try withFake { call in
            call.path == "/v3/watch" ? .stream(Self.created) : .json("{}")
        } body: { client, _ in
            let watches = try (0...EtcdLimits.watchesMax).map { _ in try client.opened(Self.ranges, from: 1).told }
            #expect(watches.dropLast().allSatisfy { $0.end == nil })
            #expect(watches.last?.end == .lost("too many requests are waiting"))
        }
    }

    @Test("that is silent is asked by the kernel whether it is there")
    func silent() throws {
        try withFake { call in
            call.path == "/v3/watch" ? .stream(Self.created) : .json("{\"header\":{\"revision\":\"7\"}}")
        } body: { client, member in
            let (watch, _) = try client.opened(Self.ranges, from: 1)
            let port = ":" + String(member.endpoint.port, radix: 16, uppercase: true)
            // The member's own end has no timer; the client's has that of keepalive (proc(5): 02).
            func hasTimer() throws -> Bool {
                let sockets = try run("cat", ["/proc/net/tcp"], in: "/").split(separator: "\n")
                    .map { $0.split(separator: " ").map(String.init) }
                return sockets.contains { $0[2].hasSuffix(port) && $0[3] == "01" && $0[5].hasPrefix("02:") }
            }
            let deadline = ContinuousClock.now + .seconds(60)
            while try !hasTimer() {
                try #require(ContinuousClock.now < deadline)
                usleep(10_000)
            }
            watch.cancel()
        }
    }
}
