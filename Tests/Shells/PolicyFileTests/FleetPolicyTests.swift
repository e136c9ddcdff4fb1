import BundleSamples
import Bundles
import Clock
import Configuration
import Glibc
import Policy
import PolicyFile
import Testing

@Suite("A fleet's policy") struct FleetPolicyTests {
    private static let rules = """
        clients: {ws: [10.20.0.0/16]}
        rules:
          - {name: mounts, from: [ws], to: [mountd], list: true}
        """
    private static let local = "rules: [{name: mounts, from: 10.0.0.1, to: rquotad}]"

    private static func load(
        _ bundle: [UInt8]?, policy: String = "group: nfs, bundle: nfs.bundle, keys: k.pub",
        files: [String: String] = [:], after last: AcceptedBundle? = nil, folder: Bool = false, fetched: [UInt8]? = nil,
        kept: [UInt8]? = nil
    ) throws -> LoadResult {
        var answers: FilesRead = [
            "/f/rpcwarden.yaml": .file(Array("policy: p.yaml\nfleet:\n  policy: {\(policy)}\n".utf8)),
            "/f/p.yaml": .file(Array(local.utf8)), "/f/k.pub": .file(Array(BundleSamples.publicKey.utf8)),
        ]
        if folder { answers["/f/nfs.bundle"] = .folder([]) }
        if let bundle { answers[folder ? "/f/nfs.bundle/nfs.bundle" : "/f/nfs.bundle"] = .file(bundle) }
        for (name, text) in files { answers[name] = .file(Array(text.utf8)) }
        if let fetched { answers[fetchedPath] = .file(fetched) }
        if let kept { answers["/s/kept"] = .file(kept) }
        return PolicyLoader(reading: answers, after: last, keptAt: "/s/kept", programNamesPath: "/f/rpc").load(
            configurationPath: "/f/rpcwarden.yaml")
    }

    private static let fetchedPath = Settings.Fleet.Bundle.fetchedFolder + "/nfs.bundle"

    private static func errors(_ load: LoadResult) -> [String] {
        load.diagnostics.filter { $0.severity == .error }.map(\.description)
    }

    private static func accepted(serial: UInt64, digest: String = "") throws -> AcceptedBundle {
        AcceptedBundle(
            PolicyBundle(
                fleet: "lab", group: "nfs", serial: serial, created: Timestamp(milliseconds: 0), files: []),
            digest: digest)
    }

    @Test(
        "is added to the policy of this host; its rules are named by bundle, file and line", arguments: [false, true])
    func added(folder: Bool) throws {
        let load = try Self.load(try BundleSamples.signed(["20-rules.yaml": Self.rules]), folder: folder)
        #expect(Self.errors(load) == [])
        #expect(load.rules.map(\.label) == ["p.yaml:1 \"mounts\"", "nfs.bundle:20-rules.yaml:3 \"mounts\""])
        #expect(load.rules.map(\.isFromBundle) == [false, true])
        #expect(load.bundle?.serial == 42 && load.lastBundle == load.bundle && load.bundleRefusal == nil)
    }

    @Test("needs public keys: a secret key in their place is told as such, and says nothing of the bundle")
    func secretKey() throws {
        let bundle = try BundleSamples.signed(["a.yaml": Self.rules])
        let load = try Self.load(bundle, files: ["/f/k.pub": BundleSamples.secretKeyFile])
        #expect(load.hasFaultyKeys && Self.errors(load).count == 1)
        #expect(Self.errors(load)[0].hasPrefix("/f/k.pub:2:1: error: this is a secret key of minisign's;"))
        #expect(try !Self.load(bundle, files: ["/f/p.yaml": "rulez: 1"]).hasFaultyKeys)
    }

    @Test("replaces the policy of this host, which then is not read")
    func replaced() throws {
        let policy = "group: nfs, bundle: nfs.bundle, keys: k.pub, mode: replace"
        let load = try Self.load(
            try BundleSamples.signed(["a.yaml": Self.rules]), policy: policy, files: ["/f/p.yaml": "rulez: 1"])
        #expect(Self.errors(load) == [] && load.rules.map(\.label) == ["nfs.bundle:a.yaml:3 \"mounts\""])
        #expect(!load.filesRead.contains("/f/p.yaml"))
    }

    @Test("is missing until it was fetched; a file of one's own must be there")
    func missing() throws {
        let fetched = try Self.load(nil, policy: "group: nfs, keys: k.pub, mode: replace")
        #expect(Self.errors(fetched) == [] && fetched.rules.isEmpty && fetched.bundle == nil)
        #expect(fetched.diagnostics.first?.description.contains("everything is denied") == true)
        #expect(fetched.diagnostics.first?.location == Location(file: "/f/rpcwarden.yaml", line: 3, column: 19))
        let added = try Self.load(nil, policy: "group: nfs, keys: k.pub")
        #expect(
            added.rules.count == 1
                && added.diagnostics.first?.description.contains("only the rules of this host") == true)
        #expect(Self.errors(try Self.load(nil)).first?.contains("can't read \"/f/nfs.bundle\": No such file") == true)
        let atHome = try BundleSamples.signed(["a.yaml": Self.rules])
        let path = Settings.Fleet.Bundle.fetchedFolder + "/nfs.bundle"
        let found = try Self.load(
            nil, policy: "group: nfs, keys: k.pub", files: [path: String(decoding: atHome, as: UTF8.self)])
        #expect(found.rules.count == 2)
    }

    @Test("that was accepted once can't be taken away by removing its file")
    func gone() throws {
        let last = try Self.accepted(serial: 41)
        let load = try Self.load(nil, policy: "group: nfs, keys: k.pub", after: last)
        #expect(Self.errors(load).first?.contains("is gone, and serial 41 was accepted before") == true)
        #expect(load.bundleRefusal != nil && load.rules.isEmpty)
        #expect(Self.errors(try Self.load(nil, policy: "group: canary, keys: k.pub", after: last)) == [])
        let replaced = try Self.load(nil, policy: "group: canary, keys: k.pub, mode: replace", after: last)
        #expect(Self.errors(replaced).first?.contains("is gone") == true, "else nobody would be permitted anything")
    }

    private static let ceiling = ["/f/c.yaml": "rules: [{name: all, from: 10.0.0.0/8, to: mountd, list: true}]"]
    private static let policy = "group: nfs, keys: k.pub, ceiling: c.yaml"

    /// What rpcwarden-fleet may have put there since, for it knows neither ceiling nor grammar.
    private static func refused() throws -> [[UInt8]?] {
        [
            try BundleSamples.signed(["a.yaml": rules.replacing("10.20.0.0/16", with: "192.0.2.0/24")], serial: 43),
            try BundleSamples.signed(["a.yaml": "rulez: 1"], serial: 43), Array("nonsense".utf8), nil,
        ]
    }

    @Test("that was accepted and kept starts in place of a fetched one that this host refuses, which is told")
    func kept() throws {
        let kept = try BundleSamples.signed(["a.yaml": Self.rules])
        let first = try Self.load(nil, policy: Self.policy, files: Self.ceiling, fetched: kept)
        #expect(Self.errors(first) == [] && first.fetchedBundle == kept && first.bundleRefusal == nil)
        for fetched in try Self.refused() {
            let load = try Self.load(
                nil, policy: Self.policy, files: Self.ceiling, after: first.bundle, fetched: fetched, kept: kept)
            #expect(Self.errors(load) == [])
            #expect(load.rules.map(\.label) == ["p.yaml:1 \"mounts\"", "nfs.bundle:a.yaml:3 \"mounts\""])
            #expect(load.bundle == first.bundle && load.lastBundle == first.bundle && load.fetchedBundle == nil)
            let warning = try #require(
                load.diagnostics.first { $0.message.contains("serial 42, accepted before, stays") })
            #expect(warning.severity == .warning && load.bundleRefusal?.contains(": error: ") == true)
        }
        let next = try BundleSamples.signed(["a.yaml": Self.rules], serial: 43)
        let load = try Self.load(
            nil, policy: Self.policy, files: Self.ceiling, after: first.bundle, fetched: next, kept: kept)
        #expect(load.bundle?.serial == 43 && load.fetchedBundle == next && load.bundleRefusal == nil)
    }

    @Test("that is kept isn't believed: it must be the one accepted last, signed, and within the ceiling")
    func keptRefused() throws {
        let kept = try BundleSamples.signed(["a.yaml": Self.rules])
        let last = try #require(try Self.load(nil, policy: Self.policy, files: Self.ceiling, fetched: kept).bundle)
        let fetched = try Self.refused()[0]
        func load(
            _ kept: [UInt8]?, after last: AcceptedBundle?, policy: String = Self.policy, ceiling: String? = nil
        ) throws -> LoadResult {
            try Self.load(
                nil, policy: policy, files: ceiling.map { ["/f/c.yaml": $0] } ?? Self.ceiling, after: last,
                fetched: fetched, kept: kept)
        }
        #expect(Self.errors(try load(kept, after: last)) == [])
        var forged = kept
        forged[forged.count - 2] ^= 1
        let others = [
            forged, try BundleSamples.signed(["a.yaml": Self.rules], serial: 41),
            try BundleSamples.signed(["a.yaml": Self.rules], serial: 44),
            try BundleSamples.signed(["b.yaml": Self.rules]), Array("nonsense".utf8), nil,
        ]
        for other in others {
            let refused = try load(other, after: last)
            #expect(Self.errors(refused).count == 1 && refused.rules.isEmpty)
            #expect(Self.errors(refused).first?.contains("exceeds the ceiling: 192.0.2.0/24") == true)
        }
        #expect(try load(kept, after: nil).hasErrors)
        #expect(try load(kept, after: last, ceiling: "rules: []").hasErrors)
        #expect(try load(kept, after: last, policy: "group: other, keys: k.pub, mode: replace").hasErrors)
        let ownFile = try Self.load(
            fetched, policy: "group: nfs, bundle: nfs.bundle, keys: k.pub, ceiling: c.yaml", files: Self.ceiling,
            after: last, kept: kept)
        #expect(ownFile.hasErrors)
    }

    @Test("of another fleet than before is refused, unless the configuration names it")
    func fleets() throws {
        let bytes = try BundleSamples.signed(["a.yaml": Self.rules])
        let other = AcceptedBundle(
            PolicyBundle(
                fleet: "default", group: "nfs", serial: 1, created: Timestamp(milliseconds: 0), files: []), digest: "")
        let refused = Self.errors(try Self.load(bytes, after: other))
        #expect(refused.first?.contains("of fleet \"default\" was accepted before; name this node's fleet") == true)
        let policy = "group: nfs, bundle: nfs.bundle, keys: k.pub, fleet: "
        #expect(Self.errors(try Self.load(bytes, policy: policy + "lab", after: other)) == [])
        #expect(
            Self.errors(try Self.load(bytes, policy: policy + "default")).first?.contains(
                "it is of fleet \"lab\", and this node is of \"default\"") == true)
    }

    @Test("names programs in each rule, and has a bounded number of rules")
    func limits() throws {
        let nothing = "programs: {none: []}\nrules: [{name: a, from: [0.0.0.0/0], to: [none], list: true}]"
        let policy = "group: nfs, bundle: nfs.bundle, keys: k.pub, ceiling: c.yaml"
        let ceiling = ["/f/c.yaml": "rules: [{name: c, from: 10.0.0.1, to: nfs}]"]
        let load = try Self.load(try BundleSamples.signed(["a.yaml": nothing]), policy: policy, files: ceiling)
        #expect(Self.errors(load).first?.contains("a.yaml:2:9: error: rule \"a\" names no program") == true)
        let many = (0...PolicyBundle.rulesMax).map { "  - {name: r\($0), from: 10.0.0.1, to: nfs}\n" }.joined()
        let tooMany = try Self.load(try BundleSamples.signed(["a.yaml": "rules:\n" + many]))
        #expect(Self.errors(tooMany).first?.contains("has 2049 rules; use at most 2048") == true)
    }

    @Test("is read from a file only: a pipe in its place holds nobody up", .timeLimit(.minutes(1)))
    func pipe() throws {
        var template = Array("/tmp/fleetpolicy-XXXXXX".utf8CString)
        let folder = String(cString: try #require(mkdtemp(&template)))
        defer { for name in ["/c.yaml", "/k.pub", "/b", ""] { remove(folder + name) } }
        for (name, text) in [
            ("c.yaml", "fleet: {policy: {group: nfs, mode: replace, bundle: b, keys: k.pub}}"),
            ("k.pub", BundleSamples.publicKey),
        ] {
            let file = try #require(fopen("\(folder)/\(name)", "w"))
            fputs(text, file)
            fclose(file)
        }
        #expect(mkfifo("\(folder)/b", 0o600) == 0)
        let load = PolicyLoader(programNamesPath: "/f/rpc").load(configurationPath: "\(folder)/c.yaml")
        #expect(Self.errors(load).first?.contains("Invalid argument; it must be a file, no pipe") == true)
    }

    @Test("is refused whole if it isn't what its publisher signed for this group")
    func refused() throws {
        let good = try BundleSamples.signed(["a.yaml": Self.rules])
        let text = String(decoding: good, as: UTF8.self)
        let cases: [([UInt8], String)] = [
            (Array(text.replacing("10.20", with: "10.30").utf8), "/f/nfs.bundle:1:1: error: it was changed after key"),
            (Array(good.dropLast()), "it was changed after key"), ([], "not a bundle"),
            (try BundleSamples.signed(["a.yaml": Self.rules], group: "canary"), "it is for group \"canary\""),
            (try BundleSamples.signed(Array("rpcwarden-policy 1\nfleet x\n".utf8)), "/f/nfs.bundle:7:1: error: "),
            (try BundleSamples.signed(["a.yaml": "rules: [{name: a}]"]), "/f/nfs.bundle:a.yaml:1:9: error: "),
            (
                try BundleSamples.signed(["a.yaml": "\n\nclients: {a: [10.0.0.0/33]}"]),
                "/f/nfs.bundle:a.yaml:3:15: error"
            ),
        ]
        for (bytes, message) in cases {
            let load = try Self.load(bytes)
            #expect(Self.errors(load).first?.contains(message) == true, "\(message): \(Self.errors(load))")
            #expect(load.rules.isEmpty && load.bundleRefusal == Self.errors(load).first)
        }
        let otherKey = try Self.load(
            good,
            files: ["/f/k.pub": "untrusted comment: a\nRWQp5/HHPRFH1BPOc07BHHD/ojU0IFJmW3zaahK8RfaikvkNiCgan8c5\n"])
        #expect(Self.errors(otherKey).first?.contains("none of the keys") == true)
        #expect(
            Self.errors(try Self.load(good, files: ["/f/k.pub": "\nno key\n"])).first?.contains("/f/k.pub:2:1") == true)
    }

    @Test("that is older than the last one is refused, and one that shares its serial with another")
    func serials() throws {
        let bytes = try BundleSamples.signed(["a.yaml": Self.rules])
        let first = try #require(try Self.load(bytes).bundle)
        #expect(Self.errors(try Self.load(bytes, after: first)) == [])
        #expect(Self.errors(try Self.load(bytes, after: try Self.accepted(serial: 41))) == [])
        let older = try Self.load(bytes, after: try Self.accepted(serial: 43))
        #expect(Self.errors(older).first?.contains("serial 42 is older than 43") == true && older.bundle == nil)
        #expect(older.lastBundle?.serial == 43)
        #expect(Self.errors(try Self.load(bytes, after: try Self.accepted(serial: 42)))[0].contains("other contents"))
        let without = try Self.load(nil, policy: "group: canary, keys: k.pub", after: first)
        #expect(without.bundle == nil && without.lastBundle == first, "it is remembered while there is none")
    }

    @Test("must lie within the ceiling of this host; both places are told")
    func ceiling() throws {
        let bundle = try BundleSamples.signed(["a.yaml": Self.rules])
        let policy = "group: nfs, bundle: nfs.bundle, keys: k.pub, ceiling: c.yaml"
        func load(_ ceiling: String?) throws -> LoadResult {
            try Self.load(bundle, policy: policy, files: ceiling.map { ["/f/c.yaml": $0] } ?? [:])
        }
        let wide = "rules: [{name: all, from: 10.0.0.0/8, to: [mountd, nfs], list: true, open: always}]"
        #expect(Self.errors(try load(wide)) == [])
        let narrow =
            "rules:\n  - {name: far, from: 10.0.0.0/8, to: [nfs], list: true}\n  - {name: near, from: 10.0.0.0/8, to: [mountd]}"
        #expect(
            Self.errors(try load(narrow)) == [
                "/f/nfs.bundle:a.yaml:3:5: error: rule \"mounts\" exceeds the ceiling: 10.20.0.0/16, mountd over tcp,"
                    + " open: on-lookup and list: true; the nearest rule there, /f/c.yaml:2:5 \"far\","
                    + " doesn't name this program"
            ])
        #expect(try load(narrow).rules.isEmpty, "refused whole: the rules of this host aren't in force without it")
        #expect(Self.errors(try load("rules: []")).first?.hasSuffix("; /f/c.yaml has no rules") == true)
        #expect(Self.errors(try load("rules: [{name: a}]")).first?.contains("/f/c.yaml:1:9: error") == true)
        #expect(Self.errors(try load(nil)).first?.contains("can't read \"/f/c.yaml\"") == true)
        let host = "rules: [{name: a, from: 10.0.0.0/8, except: [a.example], to: mountd}]"
        #expect(Self.errors(try load(host)).first?.contains("/f/c.yaml:1:9: error: a ceiling can't except") == true)
    }

    @Test("may have no very short prefix where this host has no ceiling")
    func noCeiling() throws {
        let wide = try BundleSamples.signed(["a.yaml": Self.rules.replacing("10.20.0.0/16", with: "0.0.0.0/0")])
        let error = try #require(Self.errors(try Self.load(wide)).first)
        #expect(error.contains("/f/nfs.bundle:a.yaml:3:5: error: rule \"mounts\" names 0.0.0.0/0"))
        #expect(error.contains("fleet.policy.ceiling"))
    }

    @Test("is warned of together with the policy of this host: what one lacks the other may have")
    func warnings() throws {
        let locks = "rules: [{name: l, from: 10.20.0.0/16, to: [nlockmgr, status]}]"
        let nfs = "rules: [{name: n, from: 10.20.0.0/16, to: [nfs, mountd], open: always}]"
        let bundle = try BundleSamples.signed(["a.yaml": nfs])
        #expect(try Self.load(bundle, files: ["/f/p.yaml": locks]).diagnostics.isEmpty)
        let alone = try Self.load(bundle).diagnostics.map(\.description)
        #expect(
            alone.count == 1 && alone[0].hasPrefix("/f/nfs.bundle:a.yaml:1:9: warning: nfs without nlockmgr"),
            "\(alone)")
    }

    @Test("is a policy, too, if this host has no rules of its own")
    func noOwnRules() throws {
        let bundle = try BundleSamples.signed(["a.yaml": Self.rules])
        #expect(try Self.load(bundle, files: ["/f/p.yaml": "rules: []"]).diagnostics.isEmpty)
        let neither = try BundleSamples.signed(["a.yaml": "rules: []"])
        let load = try Self.load(neither, files: ["/f/p.yaml": "rules: []"])
        #expect(load.diagnostics.map(\.description).first?.contains("no rules: enforce mode denies every call") == true)
    }

    @Test("is configured with clear errors")
    func configuration() throws {
        let bundle = try BundleSamples.signed(["a.yaml": Self.rules])
        for (policy, message) in [
            ("bundle: nfs.bundle", "\"group\" is missing"), ("group: ../x", "not a name of a fleet or a group"),
            ("group: nfs, mode: merge", "expected add or replace"),
            ("group: nfs, expire: never", "expected keep or deny"),
            ("group: nfs, cieling: c", "did you mean \"ceiling\"?"),
        ] {
            let errors = Self.errors(try Self.load(bundle, policy: policy))
            #expect(
                errors.first?.contains("/f/rpcwarden.yaml:3:") == true && errors.first?.contains(message) == true,
                "\(errors)")
        }
        let none = ParsedConfiguration(SourceFile(name: "c", text: "fleet: {}"))
        #expect(none.settings.fleet == nil && none.diagnostics.isEmpty)
    }
}
