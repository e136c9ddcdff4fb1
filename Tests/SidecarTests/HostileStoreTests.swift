import Clock
import Etcd
import Fleet
import FleetRecords
import Foundation
import NIOCore
import Synchronization
import System
import Testing

/// A sidecar, and a member that lies.
@Suite("a sidecar whose store lies") struct HostileStoreTests {
    private static let compacted =
        #"{"error":"etcdserver: mvcc: required revision has been compacted","code":11}"#
    private static let canceled = """
        {"result":{"header":{"revision":"9"},"watch_id":"1","created":true}}
        {"result":{"header":{"revision":"9"},"watch_id":"1","canceled":true,"compact_revision":"9"}}

        """

    private static let opened = """
        {"result":{"header":{"revision":"9"},"watch_id":"1","created":true}}
        {"result":{"header":{"revision":"9"},"watch_id":"2","created":true}}

        """

    private func withNode(
        _ answer: @escaping @Sendable (FakeMember.Call) -> FakeMember.Reply,
        _ body: (FixtureNode, FakeMember) throws -> Void
    ) throws {
        let folder = try TestFolder()
        let member = try FakeMember { call in
            switch call.path {
            case "/v3/lease/grant": .json(#"{"ID":"7","TTL":"90"}"#)
            case "/v3/lease/keepalive": .json(#"{"result":{"ID":"7","TTL":"90"}}"#)
            case "/v3/kv/txn": .json(#"{"header":{"revision":"9"},"succeeded":true}"#)
            case _: answer(call)
            }
        }
        defer { member.stop() }
        var facts = DaemonFacts()
        facts.version = "test"
        facts.pair = "p"
        let node = try FixtureNode("a", facts, at: "\(folder.path)/a") {
            var settings = EtcdSettings(endpoints: [member.endpoint], tls: EtcdTLS(authority: TestCA.any))
            settings.permitsPlainLoopback = true
            return settings
        }
        defer { node.end() }
        try node.start()
        try body(node, member)
    }

    /// Waits; the bound ends only a test that fails.
    private func eventually(_ isDone: () -> Bool) throws {
        let deadline = ContinuousClock.now + .seconds(120)
        while !isDone() {
            try #require(ContinuousClock.now < deadline)
            usleep(10_000)
        }
    }

    @Test(
        "that all is compacted asks less and less often, over the connection that it has",
        arguments: [false, true])
    func alwaysCompacted(whenWatched: Bool) throws {
        try withNode { call in
            switch call.path {
            case "/v3/watch": .stream(Self.canceled)
            case _ where whenWatched || call.body.contains("keys_only"): .json(#"{"header":{"revision":"9"}}"#)
            case _: .json(Self.compacted, status: "400 Bad Request")
            }
        } _: { _, member in
            func reads() -> Int {
                member.calls.count { $0.path == "/v3/kv/range" && !$0.body.contains("keys_only") }
            }
            try eventually { reads() >= 1 }
            let start = ContinuousClock.now
            try eventually { reads() >= 8 }
            // Without a pause this takes milliseconds; with it, by this seed, some seconds.
            #expect(ContinuousClock.now - start > .seconds(1))
            // Nor does it connect anew, but for its watches.
            #expect(Set(member.calls.filter { $0.path == "/v3/kv/range" }.map(\.connection)).count == 1)
        }
    }

    /// As etcd before 3.4.31 and 3.5.13 does: a watch that is slow while the store is compacted loses events (its issue 17529).
    @Test("that passes over a change when it is compacted: all is read again, in step all the while")
    func passedOver() throws {
        let grant = SharedGrant(.v4(0xc000_0207), .nfs, .tcp)
        let now = HostClock.wallClock()
        let record = GrantRecord(issued: now, used: now, rule: "nas", keep: .seconds(86_400))
        let key = FleetKey.grant(pair: "p", node: "b", grant).text(of: "lab")
        let value = RecordText.bytes(.grant(record))
        let page = """
            {"header":{"revision":"20"},"kvs":[{"key":"\(Data(key.utf8).base64EncodedString())",
            "value":"\(Data(value).base64EncodedString())","mod_revision":"15"}]}
            """
        let pair = Data("/rpcwarden/v1/lab/pairs/p/".utf8).base64EncodedString()
        let isCompacted = Mutex(false)
        try withNode { call in
            switch (call.path, isCompacted.withLock { $0 }) {
            case ("/v3/watch", _): .stream(Self.opened)
            case (_, false): .json(#"{"header":{"revision":"9"}}"#)
            case _ where call.body.contains(#""revision":"9""#): .json(Self.compacted, status: "400 Bad Request")
            case _ where call.body.contains(pair): .json(page)
            case _: .json(#"{"header":{"revision":"20"}}"#)
            }
        } _: { node, member in
            try node.daemon.hearsThatItIsInStep()
            isCompacted.withLock { $0 = true }
            _ = try node.daemon.hears(offerOf: grant)
            try node.answers(.status, "\"full_reads\":2")
            func watches() -> [String] { member.calls.filter { $0.path == "/v3/watch" }.map(\.body) }
            try eventually { watches().count == 2 }
            #expect(watches().last?.contains(#""start_revision":"21""#) == true)
            let states = node.daemon.heard.compactMap { if case .store(let state) = $0 { state.isSynced } else { nil } }
            #expect(!states.drop { !$0 }.contains(false))
            #expect(Set(member.calls.filter { $0.path == "/v3/kv/range" }.map(\.connection)).count == 1)
        }
    }

    @Test("whose list of nodes never ends reads so many pages, and answers")
    func endlessList() throws {
        let prefix = Data("/rpcwarden/v1/lab/nodes/".utf8).base64EncodedString()
        let count = Mutex(100_000)
        try withNode { call in
            if call.path == "/v3/watch" { return .stream(Self.opened) }
            guard call.body.contains(prefix), !call.body.contains("keys_only") else {
                return .json(#"{"header":{"revision":"9"}}"#)
            }
            let number = count.withLock {
                $0 += 1
                return $0
            }
            let key = Data("/rpcwarden/v1/lab/nodes/\(number)".utf8).base64EncodedString()
            return .json(#"{"header":{"revision":"9"},"kvs":[{"key":"\#(key)"}],"more":true}"#)
        } _: { node, _ in
            try node.answers(.status, "\"connected\":true")
            #expect(try node.answer(.nodes) == ["{}"])
        }
    }
}
