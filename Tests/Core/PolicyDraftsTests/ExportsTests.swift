import Addresses
import Policy
import PolicyDrafts
import PolicyFile
import TestSupport
import Testing

/// Lines of exports(5), the clients that the policy names for them, and the numbers of warnings and errors.
private struct Exported: CustomTestStringConvertible {
    var text: String
    var clients: [String]
    var warnings: Int
    var errors: Int

    init(_ text: String, _ clients: [String], warnings: Int = 0, errors: Int = 0) {
        self.text = text
        self.clients = clients
        self.warnings = warnings
        self.errors = errors
    }

    var testDescription: String { text }
}

@Suite("import-exports") struct ExportsTests {
    @Test(
        "whoever is exported to is named, exactly",
        arguments: [
            Exported("/a 10.0.0.1(rw)", ["10.0.0.1"]),
            Exported("/a 10.0.0.1", ["10.0.0.1"]),
            Exported("/a 10.0.0.1()", ["10.0.0.1"]),
            Exported("/a 10.20.0.0/16(rw) 10.21.0.0/255.255.0.0(ro)", ["10.20.0.0/16", "10.21.0.0/16"]),
            Exported("/a 10.20.3.4/16(rw)", ["10.20.0.0/16"], warnings: 1),
            Exported("/a 2001:db8::/32(rw) 2001:db8::1(ro)", ["\"2001:db8::/32\"", "\"2001:db8::1\""]),
            Exported("/a NFS1.Example.com.(rw) a_b.example", ["\"nfs1.example.com\"", "\"a_b.example\""]),
            Exported("/a 10.0.0.1(rw)\n/b 10.0.0.1(ro) 10.0.0.2", ["10.0.0.1", "10.0.0.2"]),
            Exported("/a -rw,sync 10.0.0.1 10.0.0.2(ro)", ["10.0.0.1", "10.0.0.2"]),
            Exported("/a 10.0.0.1(rw,squash_uids=0-15,20,25-50,anonuid=1)", ["10.0.0.1"]),
            Exported("/a 10.0.0.1(sec=krb5:sys,fsid=0,mp=/x,refer=/y@10.9.9.9)", ["10.0.0.1"]),
            Exported("/a \\\n   10.0.0.1(rw) \\\n\t10.0.0.2(rw)", ["10.0.0.1", "10.0.0.2"]),
            Exported("/a 10.0.\\\n   0.1(rw)", ["10.0.0.1"]),
            Exported("\"/with space\" 10.0.0.1(rw)", ["10.0.0.1"]),
            Exported("/with\\040space 10.0.0.1(rw)", ["10.0.0.1"]),
            Exported("/a \"10.0.0.1\"(rw) \\061\\060.0.0.2", ["10.0.0.1", "10.0.0.2"]),
            Exported("# 10.0.0.9\n\n  /a 10.0.0.1 # 10.0.0.8\n", ["10.0.0.1"]),
            Exported("/a 10.0.0.1(rw)\r\n/b 10.0.0.2(rw)\r\n", ["10.0.0.1", "10.0.0.2"]),
            Exported("/a localhost(rw) 127.0.0.1(rw) ::1(rw) 10.0.0.1", ["10.0.0.1"]),
            Exported("/a *(ro)", ["0.0.0.0/0", "\"::/0\""], warnings: 1),
            Exported("/a 0.0.0.0/0(ro)", ["0.0.0.0/0"], warnings: 1),
        ])
    fileprivate func named(_ exported: Exported) {
        let draft = exports(exported.text)
        #expect(draft.policy.groups.flatMap(\.members).map { written($0.term) } == exported.clients)
        #expect(draft.warnings.count == exported.warnings, "\(draft.warnings)")
        #expect(draft.errors.isEmpty && draft.isWhole)
        #expect(parsed(draft.policy).rules.count == 2)
    }

    @Test(
        "what can't be said, or can't be read, names nobody, and people are told of it",
        arguments: [
            Exported("/a *.example.com(rw)", [], warnings: 1),
            Exported("/a 10.0.0.?(rw) 10.0.0.*(rw) host[0-9].example.com(rw)", [], warnings: 3),
            Exported("/a @netgroup(rw) gss/krb5(rw)", [], warnings: 2),
            Exported("/a client1(rw)", [], warnings: 1),
            Exported("/a (rw)", [], warnings: 1),
            Exported("/a", [], warnings: 1),
            Exported("/a -rw", [], warnings: 1),
            Exported("/a 10.0.0.1 (rw)", ["10.0.0.1"], warnings: 1),
            Exported("/a 10.0.0.1(rw, sync) 10.0.0.2", [], errors: 1),
            Exported("/a 10.0.0.1(rw 10.0.0.2(rw)", [], errors: 1),
            Exported("/a 10.0.0.1(rw)x 10.0.0.2", [], errors: 1),
            Exported("/a 10.0.0.1(rw)10.0.0.0/8(rw)", [], errors: 1),
            Exported("/a 10.0.0.1(rw)# 10.0.0.2", [], errors: 1),
            Exported("/a 10.0.0.1(frobnicate) 10.0.0.2", [], warnings: 1),
            Exported("/a -frobnicate 10.0.0.2", [], warnings: 1),
            Exported("/a 10.0.0.0/255.0.255.0 10.0.0.0/33 10.0.0.0/ 10.0.0.0/+8 2001:db8::/129", [], warnings: 5),
            Exported("/a 2001:db8::/255.255.0.0 10.0.0.0/::ffff:255.0.0.0", [], warnings: 2),
            Exported("/a 10.0.0.1/0 2001:db8::1/0", [], warnings: 2),
            Exported("/a ::ffff:10.0.0.1 ::ffff:0:0/96 fe80::1%eth0 [::1] 0.0.0.0 ::", [], warnings: 6),
            Exported("/a 10.1 10 0x0a000001 1.2.3.4.5", [], warnings: 4),
            Exported("/a -bad.example.com -bad", [], warnings: 1),
            Exported("/a bad-.example.com a..b h\u{e9}.example", [], warnings: 3),
            Exported("relative 10.0.0.1(rw)", [], errors: 1),
            Exported("\"/a\n/b 10.0.0.1(rw)\n/c\" 10.0.0.2(rw)", [], errors: 1),
            Exported("junk \"x\n/b 10.0.0.1(rw)\n\"", [], errors: 2),
            Exported("/a 10.0.0.9(oops) \"x\n/b 10.0.0.1(rw)\n\"", [], warnings: 1, errors: 1),
            Exported("/a \\777\"x\n/b 10.0.0.1(rw)\n\"", [], errors: 1),
            Exported("/a \"\" 10.0.0.1", [], errors: 1),
            Exported("/a \u{b}10.0.0.1", [], errors: 1),
            Exported("/a 10.0.0.1\r10.0.0.2", ["10.0.0.1"], errors: 1),
            Exported("/a 10.0.0.1\0(rw)\n/b 10.0.0.2", [], errors: 1),
            Exported("/a 10.0.0.1\\000.example.com", [], errors: 1),
            Exported("/a 10.0.0.1\\777", [], errors: 1),
            Exported("# comment \\\n/a 10.0.0.1(rw)", [], warnings: 0),
            Exported("/a 10.0.0.1\\054(rw)", [], warnings: 1),
            Exported("/a \(String(repeating: "a", count: 5000)).example.com 10.0.0.1", [], errors: 1),
        ])
    fileprivate func notNamed(_ exported: Exported) {
        let draft = exports(exported.text)
        #expect(draft.policy.groups.flatMap(\.members).map { written($0.term) } == exported.clients)
        #expect(draft.warnings.count == exported.warnings, "\(draft.warnings)")
        #expect(draft.errors.count == exported.errors, "\(draft.errors)")
        let rules = parsed(draft.policy).rules
        #expect(rules.isEmpty == exported.clients.isEmpty)
        let text = draft.policy.text(names: names)
        for remark in draft.warnings + draft.errors { #expect(text.contains("#   \(remark)")) }
    }

    @Test(
        "the exports of a server behind a gateway are rules for that server, and drafts of two servers make one policy")
    func atServer() {
        let text = "/a 10.0.0.1(rw)\n/b *(ro)\n"
        let (first, second) = (exports(text, at: "filer1").policy, exports(text, at: "nas.2").policy)
        #expect(parsed(first).rules.map(\.at) == Array(repeating: .servers(["filer1"]), count: 4))
        let texts = [first, second, exports(text).policy].enumerated().map { index, draft in
            SourceFile(name: "draft\(index).yaml", text: draft.text(names: names))
        }
        let policy = ParsedPolicy(texts, names: names, servers: ["filer1", "nas.2"])
        #expect(!policy.diagnostics.contains { $0.severity == .error }, "\(policy.diagnostics)")
        #expect(policy.rules.about("nas.2").count == 4 && policy.rules.about(nil).count == 4)
        #expect(Set(policy.rules.map(\.name)).count == 12)
        #expect(first.text(names: names).contains("the exports of server filer1"))
    }

    @Test("a mistake in one line leaves the others as they are, and tells its place")
    func places() {
        let draft = exports("/a 10.0.0.1(rw) \\\n  10.0.0.2(rw)\n\n/b 10.0.0.3(oops)\n/c *.example.com 10.0.0.4\n")
        #expect(
            draft.policy.groups.flatMap(\.members).map { written($0.term) } == ["10.0.0.1", "10.0.0.2", "10.0.0.4"])
        #expect(
            draft.policy.groups.flatMap(\.members).map(\.comment) == ["exports:1 /a", "exports:2 /a", "exports:5 /c"])
        #expect(draft.warnings.map { $0.prefix { $0 != " " } } == ["exports:4:", "exports:5:"])
    }

    @Test(
        "what can't be read is an error at its place, and a file that can't be read to its end is no draft",
        arguments: [
            ("/a \"10.0.0.1(rw)\n", "exports:1:4: error: an unterminated quote", false),
            ("/a 10.0.0.1(rw)\n  \"/b c 10.0.0.2\n", "exports:2:3: error: an unterminated quote", false),
            ("/a \\\n  10.0.0.1\"(rw)", "exports:2:11: error: an unterminated quote", false),
            ("/a 10.0.0.1(rw)\n/b 10.0.0.2\0(rw)\n", "exports:2:12: error: a NUL byte", false),
            ("/a 10.0.0.1(rw) \\", "exports:1:17: error: a backslash at the file's end", false),
            (
                "/a 10.0.0.1(rw) \\\r\n   10.0.0.2(rw)\r\n",
                "exports:1:17: error: a backslash before a carriage return", true
            ),
            (
                "/a 10.0.0.1(rw) \\ \n   10.0.0.2(rw)\n", "exports:1:17: error: a backslash before a carriage return",
                true
            ),
            ("\tsrv 10.0.0.1(rw)", "exports:1:2: error: \"srv\" is not an absolute path", true),
            (
                "/a 10.0.0.1(rw, sync)", "exports:1:4: error: \"10.0.0.1(rw,\" doesn't end in a complete option list",
                true
            ),
        ])
    func errors(text: String, expected: String, isWhole: Bool) throws {
        let draft = exports(text)
        #expect(draft.isWhole == isWhole)
        #expect(try #require(draft.errors.first).hasPrefix(expected), "\(draft.errors)")
    }

    @Test("a last line that ends in a backslash and a newline is whole, and people are told")
    func openEnd() {
        let draft = exports("/a 10.0.0.1(rw) \\\n  10.0.0.2(rw) \\\n")
        #expect(draft.policy.groups.flatMap(\.members).map { written($0.term) } == ["10.0.0.1", "10.0.0.2"])
        #expect(draft.errors.isEmpty && draft.isWhole)
        #expect(
            draft.warnings.count == 1 && draft.warnings[0].hasPrefix("exports:2: the last line ends in a backslash"))
    }

    @Test(
        "an export to everyone widens nobody else's group",
        arguments: ["/a *(ro)", "/a 0.0.0.0/0(ro) ::/0(ro)"])
    func everyone(world: String) {
        let draft = exports("\(world)\n/b 10.0.0.1(rw)\n")
        let groups = Dictionary(uniqueKeysWithValues: draft.policy.groups.map { ($0.name, $0.members.map(\.term)) })
        #expect(groups["nfs-clients"]?.map(written) == ["10.0.0.1"])
        #expect(groups["everyone"]?.map(written) == ["0.0.0.0/0", "\"::/0\""])
        #expect(draft.policy.rules.map(\.from) == [["nfs-clients"], ["nfs-clients"], ["everyone"], ["everyone"]])
        #expect(parsed(draft.policy).rules.map(\.to) == [[.nfs], [.mountd, .nlockmgr, .status]] * 2)
    }

    @Test("listing is offered with its reason: without its # the draft lets clients list nfs and the rest")
    func listing() {
        let text = exports("/a 10.0.0.1(rw)").policy.text(names: names)
        #expect(text.contains("# Hypervisors") && text.contains("rpcinfo") && text.contains("showmount"))
        let taken = text.replacing("    # list: true\n", with: "    list: true\n")
        let parsed = ParsedPolicy([SourceFile(name: "draft.yaml", text: taken)], names: names)
        #expect(parsed.diagnostics == [] && parsed.rules.map(\.lists) == [true, true])
    }

    @Test("nfs is always open, what mounting and locking needs opens on lookup, and each is explained")
    func rules() {
        let draft = exports("/a 10.0.0.0/24(rw)")
        let rules = parsed(draft.policy).rules
        #expect(rules.map(\.open) == [.always, .onLookup])
        #expect(rules.map(\.to) == [[.nfs], [.mountd, .nlockmgr, .status]])
        #expect(rules.allSatisfy { !$0.lists && $0.over == [.tcp, .udp] })
        #expect(parsed(draft.policy).diagnostics == [])
        let text = draft.policy.text(names: names)
        for word in ["# nfs:", "# mountd:", "# nlockmgr:", "status:", "nfs-server.service", "NFSv4", "rquotad"] {
            #expect(text.contains(word))
        }
    }

    @Test("no text of the file gets out of its comment")
    func comments() {
        let path = "/a\\012rules:\\012  - name: evil\\033[31m\\302\\205x"
        let draft = exports("\(path) 10.0.0.1(rw) \"evil\\012    - 0.0.0.0/0\"(rw)\n")
        let text = draft.policy.text(names: names)
        #expect(text.utf8.allSatisfy { $0 == 0x0a || (0x20...0x7e).contains($0) })
        #expect(
            parsed(draft.policy).rules.flatMap(\.from) == Array(repeating: .prefix(Prefix(ip("10.0.0.1"))), count: 2))
    }

    @Test("many exports of one client stay one line")
    func manyPaths() {
        let draft = exports((0..<50).map { "/srv/\($0) 10.0.0.1(rw)\n" }.joined())
        #expect(
            draft.policy.groups.flatMap(\.members).map(\.comment) == ["exports:1 /srv/0, exports:2 /srv/1, and 48 more"]
        )
    }
}

private func * (list: [Set<Program>], times: Int) -> [Set<Program>] {
    Array(repeatElement(list, count: times).joined())
}

func written(_ term: ClientTerm) -> String {
    switch term {
    case .host(let name): return "\"\(name)\""
    case .prefix(let prefix):
        let isSingle = prefix.length == (prefix.address.isIPv4 ? 32 : 128)
        let text = isSingle ? "\(prefix.address)" : "\(prefix)"
        return prefix.address.isIPv4 ? text : "\"\(text)\""
    }
}
