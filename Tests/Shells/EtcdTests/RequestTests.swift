import Etcd
import Testing

/// Against the real etcd.
@Suite("etcd's requests") struct RequestTests {
    @Test("what etcd refuses fails with its words")
    func refusals() throws {
        try withEtcd { client, _ in
            let a = bytes("a")
            let put = EtcdOperation.put(key: a, value: a, lease: 0)
            let duplicate = EtcdError.refused(code: 3, message: "etcdserver: duplicate key given in txn request")
            #expect(failure { try client.transact([], [put, put]).wait() } == duplicate)
            #expect(failure { try client.transact([], Array(repeating: put, count: 129)).wait() } == .tooLarge)
            #expect(
                failure { try client.transact([], [.put(key: a, value: a, lease: 77)]).wait() } == .leaseNotFound)
            #expect(failure { try client.keepLease(77).wait() } == .leaseNotFound)
            #expect(failure { try client.revokeLease(77).wait() } == .leaseNotFound)
            let future = EtcdError.refused(
                code: 11, message: "etcdserver: mvcc: required revision is a future revision")
            #expect(failure { try client.range(EtcdRange(key: a), revision: 99).wait() } == future)
            // Above etcd's limit, and above ours.
            for count in [1_600_000, 4 << 20] {
                let value = [UInt8](repeating: 7, count: count)
                #expect(failure { try client.transact([], [.put(key: a, value: value, lease: 0)]).wait() } == .tooLarge)
            }
            let probed = try client.probe(a).wait()
            #expect(probed.revision == 1 && probed.found == nil)
        }
    }

    @Test("transactions put, delete, compare; ranges tell what is there")
    func transactions() throws {
        try withEtcd { client, _ in
            let (a, b, c) = (bytes("/f/a"), bytes("/f/b"), bytes("/f/c"))
            let put = EtcdOperation.put(key: a, value: [0, 255], lease: 0)
            let first = try client.transact([.isMissing(key: a)], [put, .put(key: b, value: [], lease: 0)]).wait()
            #expect(first.succeeded)
            #expect(try !client.transact([.isMissing(key: a)], [put]).wait().succeeded)
            #expect(try !client.transact([.value(of: a, is: [0])], [.delete(key: a)]).wait().succeeded)
            #expect(try !client.transact([.modRevision(of: a, is: 1)], [.delete(key: a)]).wait().succeeded)

            let page = try client.range(EtcdRange(prefix: bytes("/f/"))).wait()
            let revision = first.revision
            #expect(
                page.records == [
                    EtcdKeyValue(key: a, value: [0, 255], modRevision: revision, lease: 0),
                    EtcdKeyValue(key: b, value: [], modRevision: revision, lease: 0),
                ])
            #expect(page.revision == revision && !page.hasMore)

            let second = try client.transact(
                [.value(of: a, is: [0, 255]), .modRevision(of: b, is: revision), .isMissing(key: c)],
                [.delete(key: a), .put(key: c, value: [1], lease: 0)]
            ).wait()
            #expect(second.succeeded && second.revision == revision + 1)
            #expect(try client.range(EtcdRange(key: a)).wait().records == [])
            #expect(try client.range(EtcdRange(key: a), revision: revision).wait().records.count == 1)
            #expect(try client.transact([], [.deleteRange(EtcdRange(prefix: bytes("/f/")))]).wait().succeeded)
            #expect(try client.range(EtcdRange(prefix: bytes("/f/"))).wait().records == [])
        }
    }

    @Test("pages of a prefix are read at one revision, though keys come and go meanwhile")
    func pages() throws {
        try withEtcd { client, _ in
            let keys = (0..<10).map { bytes("/p/\($0)") }
            let others: [EtcdOperation] = [
                .put(key: bytes("/p"), value: [], lease: 0), .put(key: bytes("/q"), value: [], lease: 0),
                .put(key: bytes("/p0"), value: [], lease: 0),
            ]
            _ = try client.transact([], keys.map { .put(key: $0, value: $0, lease: 0) } + others).wait()
            let range = EtcdRange(prefix: bytes("/p/"))
            var page = try client.page(of: range, after: nil, max: 4, revision: nil).wait()
            let revision = page.revision
            _ = try client.transact(
                [], [.delete(key: keys[7]), .put(key: bytes("/p/55"), value: [], lease: 0)]
            ).wait()
            var found = page.records.map(\.key)
            while page.hasMore, let last = found.last {
                page = try client.page(of: range, after: last, max: 4, revision: revision).wait()
                found += page.records.map(\.key)
            }
            #expect(found == keys)
        }
    }

    @Test("a compacted revision is told as such")
    func compaction() throws {
        try withEtcd { client, member in
            let put = EtcdOperation.put(key: bytes("a"), value: [], lease: 0)
            for _ in 0..<5 { _ = try client.transact([], [put]).wait() }
            try member.control("compact", "5", "--physical=true")
            let failed = failure { try client.range(EtcdRange(key: bytes("a")), revision: 3).wait() }
            #expect(failed == .compacted(nil))
        }
    }

    @Test("a lease that isn't kept lapses with its keys; one that is revoked takes them at once")
    func leases() throws {
        try withEtcd { client, _ in
            let (a, b, c) = (bytes("a"), bytes("b"), bytes("c"))
            let short = try client.grantLease(seconds: 1).wait()
            let long = try client.grantLease(seconds: 3600).wait()
            let revoked = try client.grantLease(seconds: 3600).wait()
            #expect(long.seconds == 3600)
            _ = try client.transact(
                [],
                [
                    .put(key: a, value: [], lease: short.id), .put(key: b, value: [], lease: long.id),
                    .put(key: c, value: [], lease: revoked.id),
                ]
            ).wait()
            #expect(try client.keepLease(long.id).wait() == 3600)
            try client.revokeLease(revoked.id).wait()
            let deadline = ContinuousClock.now + .seconds(120)
            var rest: [EtcdKeyValue] = []
            repeat {
                rest = try client.range(EtcdRange(prefix: [])).wait().records
            } while rest.count > 1 && ContinuousClock.now < deadline
            #expect(rest.map(\.key) == [b] && rest.map(\.lease) == [long.id])
            #expect(failure { try client.keepLease(short.id).wait() } == .leaseNotFound)
            #expect(failure { try client.keepLease(revoked.id).wait() } == .leaseNotFound)
        }
    }
}
