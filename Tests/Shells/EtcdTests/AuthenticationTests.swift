import Etcd
import Testing

/// Against the real etcd.
@Suite("etcd's users") struct AuthenticationTests {
    /// An etcd where `nas1` may read and write below /n/, and `reader` read there.
    private func withUsers(_ body: (EtcdMember, EtcdSettings) throws -> Void) throws {
        // A token idles out after three seconds.
        try withEtcd(["--auth-token-ttl", "3"]) { _, member in
            try member.control("user", "add", "root:root\"\\pass")
            try member.control("role", "add", "root")
            try member.control("user", "grant-role", "root", "root")
            for (user, kind) in [("nas1", "readwrite"), ("reader", "read")] {
                try member.control("user", "add", "\(user):secret")
                try member.control("role", "add", user)
                try member.control("role", "grant-permission", user, kind, "/n/", "/n0")
                try member.control("user", "grant-role", user, user)
            }
            try member.control("auth", "enable")
            try body(member, .plain(member.endpoint))
        }
    }

    private static func isDenied(_ error: EtcdError?) -> Bool {
        if case .refused(_, "etcdserver: permission denied")? = error { true } else { false }
    }

    @Test("strangers, wrong passwords and what a user may not do are refused")
    func refusals() throws {
        try withUsers { _, plain in
            let range = EtcdRange(prefix: bytes("/n/"))
            try withClient(plain) { client in
                guard case .refused(_, "etcdserver: user name is empty")? = failure({ try client.range(range).wait() })
                else { return #expect(Bool(false)) }
                let (_, told) = try client.opened([range], from: 1)
                #expect(told.end == .canceled("etcdserver: user name is empty"))
            }
            var settings = plain
            settings.credentials = EtcdCredentials(user: "nas1", password: "wrong")
            try withClient(settings) { client in
                let failed = failure { try client.range(range).wait() }
                guard case .refused(_, let message)? = failed, message.contains("authentication failed") else {
                    return #expect(Bool(false), "\(String(describing: failed))")
                }
            }
            settings.credentials = EtcdCredentials(user: "reader", password: "secret")
            try withClient(settings) { client in
                let put = EtcdOperation.put(key: bytes("/n/1"), value: [], lease: 0)
                #expect(Self.isDenied(failure { try client.transact([], [put]).wait() }))
                #expect(Self.isDenied(failure { try client.range(EtcdRange(prefix: bytes("/"))).wait() }))
                #expect(try client.range(range).wait().records == [])
                let (_, told) = try client.opened([range, EtcdRange(prefix: bytes("/"))], from: 1)
                try told.wait { $0.end != nil }
                #expect(told.end == .canceled("etcdserver: permission denied"))
            }
        }
    }

    @Test("a token that idled out is asked for anew, for requests and watches; quotes in a password do")
    func tokens() throws {
        try withUsers { member, plain in
            var settings = plain
            settings.credentials = EtcdCredentials(user: "nas1", password: "secret")
            try withClient(settings) { client in
                let put = EtcdOperation.put(key: bytes("/n/1"), value: [], lease: 0)
                _ = try client.transact([], [put]).wait()
                for _ in 0..<2 {
                    // etcd looks at its tokens each second.
                    let count = member.tokensDeleted
                    try member.wait { $0.tokensDeleted > count }
                    _ = try client.transact([], [put]).wait()
                }
                let count = member.tokensDeleted
                try member.wait { $0.tokensDeleted > count }
                let (watch, told) = try client.opened([EtcdRange(prefix: bytes("/n/"))], from: 1)
                try told.wait { $0.changes().count == 3 }
                watch.cancel()
            }
            settings.credentials = EtcdCredentials(user: "root", password: "root\"\\pass")
            let all = try withClient(settings) { try $0.range(EtcdRange(prefix: [])).wait().records }
            #expect(all.count == 1)
        }
    }
}
