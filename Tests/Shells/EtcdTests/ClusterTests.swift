import Etcd
import Testing

/// Three real etcds.
@Suite("a cluster of etcd", .serialized) struct ClusterTests {
    private let key = bytes("/a/1")
    private let ranges = [EtcdRange(prefix: bytes("/a/"))]

    private func withCluster(_ body: ([EtcdMember]) throws -> Void) throws {
        let folder = try TestFolder()
        let members = try (0..<3).map { try EtcdMember("m\($0)", in: folder) }
        for member in members { try member.start(cluster: members.map(\.peer)) }
        defer { for member in members { member.stop() } }
        for member in members {
            try withClient(.plain(member.endpoint)) { try awaitAnswer(of: $0, member) }
        }
        try body(members)
    }

    private func isLost(_ error: EtcdError) -> Bool {
        switch error {
        case .lost, .timedOut: true
        case .refused, .compacted, .leaseNotFound, .tooLarge, .busy, .malformed: false
        }
    }

    private func put(_ client: EtcdClient, _ value: UInt8) throws -> Int64 {
        try eventually {
            try client.transact([], [.put(key: key, value: [value], lease: 0)]).wait().revision
        } while: {
            isLost($0)
        }
    }

    private func opened(_ client: EtcdClient, from revision: Int64) throws -> Told {
        try eventually {
            let told = try client.opened(ranges, from: revision).told
            if case .lost(let reason)? = told.end { throw EtcdError.lost(reason) }
            return told
        } while: {
            isLost($0)
        }
    }

    /// A watch at the first member. A client that lost that one while the cluster settled begins anew, for it stands at
    /// the next.
    private func withWatch(
        _ settings: EtcdSettings, from revision: Int64, _ body: (EtcdClient, Told) throws -> Void
    ) throws {
        try eventually {
            try withClient(settings) { client in
                let told = try client.opened(ranges, from: revision).told
                if case .lost(let reason)? = told.end { throw EtcdError.lost(reason) }
                try body(client, told)
            }
        } while: {
            isLost($0)
        }
    }

    @Test("a member that is killed is left for the next; a watch there ends, and goes on at the other")
    func killed() throws {
        try withCluster { members in
            var settings = EtcdSettings.plain(members[0].endpoint, members[1].endpoint, members[2].endpoint)
            settings.requestTimeout = .seconds(5)
            let first = try withClient(.plain(members[0].endpoint)) { try put($0, 1) }
            try withWatch(settings, from: first) { client, told in
                try told.wait { $0.changes().count == 1 }
                members[0].stop()
                try told.wait { $0.end != nil }
                let second = try put(client, 2)
                let next = try opened(client, from: first + 1)
                try next.wait { !$0.changes().isEmpty }
                #expect(next.changes().map(\.revision) == [second])
                let page = try eventually {
                    try client.range(ranges[0]).wait()
                } while: {
                    isLost($0)
                }
                #expect(page.records.map(\.value) == [[2]])
            }
        }
    }

    @Test("a partitioned member's watch ends by itself; a frozen one's by a probe, which goes on at the next member")
    func partitioned() throws {
        try withCluster { members in
            var settings = EtcdSettings.plain(members[0].endpoint)
            settings.requestTimeout = .seconds(5)
            try withClient(settings) { client in
                let told = try opened(client, from: 1)
                // Alone, it has no leader.
                for member in members.dropFirst() { member.freeze() }
                try told.wait { $0.end != nil }
                guard case .lost? = told.end else { return #expect(Bool(false), "\(told.all)") }
                #expect(failure { try client.probe(key).wait() }.map(isLost) == true)
                for member in members.dropFirst() { member.thaw() }
                _ = try put(client, 1)
            }
            settings.endpoints = members.map(\.endpoint)
            try withWatch(settings, from: 1) { client, told in
                members[0].freeze()
                defer { members[0].thaw() }
                let failure = failure { try client.probe(key).wait() }
                guard failure == .timedOut else { throw EtcdError.lost("\(failure as Any), \(told.all)") }
                try told.wait { $0.end != nil }
                _ = try put(client, 2)
            }
        }
    }
}
