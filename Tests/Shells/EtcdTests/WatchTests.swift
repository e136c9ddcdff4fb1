import Etcd
import Testing

/// Against the real etcd.
@Suite("etcd's watches") struct WatchTests {
    private let a = bytes("/a/1")
    private let b = bytes("/b/1")
    private let ranges = [EtcdRange(prefix: bytes("/a/")), EtcdRange(prefix: bytes("/b/"))]

    private func put(_ client: EtcdClient, _ key: [UInt8], _ value: UInt8) throws -> EtcdChange {
        let revision = try client.transact([], [.put(key: key, value: [value], lease: 0)]).wait().revision
        return .put(EtcdKeyValue(key: key, value: [value], modRevision: revision, lease: 0))
    }

    @Test("changes come in order, those before it was opened too, of several ranges by one stream")
    func order() throws {
        try withEtcd { client, _ in
            var expected = [try put(client, a, 0), try put(client, a, 1)]
            let first = expected[0].revision
            let (watch, told) = try client.opened(ranges, from: first)
            for value in 2..<50 as Range<UInt8> { expected.append(try put(client, a, value)) }
            let other = try put(client, b, 7)
            let deleted = try client.transact([], [.delete(key: a), .put(key: bytes("/c"), value: [], lease: 0)]).wait()
            expected.append(.delete(key: a, revision: deleted.revision))
            try told.wait { $0.changes().count == expected.count && $0.changes(of: 1).count == 1 }
            #expect(told.changes() == expected)
            #expect(told.changes(of: 1) == [other])
            for case .changed(_, let changes, let revision) in told.all { #expect(revision == changes.last?.revision) }
            watch.cancel()
        }
    }

    @Test("a range and a watch from the revision behind it miss nothing and tell nothing twice")
    func continuation() throws {
        try withEtcd { client, _ in
            _ = try put(client, a, 0)
            let page = try client.range(ranges[0]).wait()
            let next = try put(client, a, 1)
            let (watch, told) = try client.opened(ranges, from: page.revision + 1)
            try told.wait { !$0.changes().isEmpty }
            #expect(told.changes() == [next])
            watch.cancel()
        }
    }

    @Test("a watch from a compacted revision ends with the oldest one that is kept")
    func compacted() throws {
        try withEtcd { client, member in
            for value in 0..<5 as Range<UInt8> { _ = try put(client, a, value) }
            try member.control("compact", "5", "--physical=true")
            let (_, told) = try client.opened(ranges, from: 2)
            try told.wait { $0.end != nil }
            #expect(told.end == .compacted(5))
        }
    }

    @Test("a large backlog comes in pieces, whole")
    func fragments() throws {
        try withEtcd { client, _ in
            let value = [UInt8](repeating: 7, count: 100_000)
            let count = 60
            var revision: Int64 = 0
            for index in 0..<count {
                let operations = (0..<2).map {
                    EtcdOperation.put(key: bytes("/a/\(index)-\($0)"), value: value, lease: 0)
                }
                revision = try client.transact([], operations).wait().revision
            }
            let (watch, told) = try client.opened(ranges, from: 1)
            try told.wait { $0.changes().count == 2 * count || $0.end != nil }
            #expect(told.changes().map(\.revision) == (0..<2 * count).map { revision - Int64(count - 1 - $0 / 2) })
            // Whoever goes on from a told revision misses nothing.
            var seen = 0
            for case .changed(_, let changes, let upTo) in told.all {
                seen += changes.count
                #expect(
                    told.changes().prefix(seen).count { $0.revision <= upTo }
                        == told.changes().count { $0.revision <= upTo })
            }
            watch.cancel()
        }
    }

    @Test("a watch ends when its member does, and nothing is told after a cancel")
    func ends() throws {
        try withEtcd { client, member in
            let (canceled, silent) = try client.opened(ranges, from: 1)
            let (_, told) = try client.opened(ranges, from: 1)
            canceled.cancel()
            // The event loop has heard of it once it answers.
            _ = try client.probe(a).wait()
            member.stop()
            try told.wait { $0.end != nil }
            guard case .lost = told.end else { return #expect(Bool(false), "\(told.all)") }
            #expect(silent.end == nil)
        }
    }

    @Test("the client's end is its watches' end")
    func close() throws {
        try withEtcd { client, _ in
            let told = try client.opened(ranges, from: 1).told
            client.close()
            try told.wait { $0.end != nil }
            #expect(told.end == .lost("the client is closed"))
            #expect(failure { try client.probe(a).wait() } == .lost("the client is closed"))
        }
    }
}
