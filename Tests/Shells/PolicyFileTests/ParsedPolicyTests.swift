import Addresses
import Policy
import Testing

@testable import PolicyFile

@Suite("Policies")
struct ParsedPolicyTests {
    private func prefix(_ text: String) throws -> ClientTerm {
        .prefix(try Syntax<Prefix>.prefix.parse(text))
    }

    @Test("the contract's example")
    func example() throws {
        let parsed = policy(
            """
            clients:                            # who: addresses, prefixes, host names (resolved, re-resolved by TTL)
              workstations: [10.20.0.0/16, "2001:db8:20::/48"]
              printers: [10.20.9.0/24]
            programs:                           # what: names of /etc/rpc (with its aliases), or numbers
              nfsv3: [mountd, nfs, nlockmgr, status, rquotad]
            rules:                              # each permits something; nothing denies; order has no meaning
              - name: workstations mount NFSv3
                from: [workstations]            # group names or literal addresses
                except: [printers]
                to: [nfsv3]                     # group names, program names or numbers
                over: [tcp, udp]                # default both: the transport of the *service*
                list: true                      # may DUMP / GETADDRLIST: sees only what it may look up. Default false
                open: on-lookup                 # on-lookup | always (standing) | never
            """)
        let rule = Rule(
            name: "workstations mount NFSv3", location: Location(file: "p.yaml", line: 7, column: 5),
            from: [try prefix("10.20.0.0/16"), try prefix("2001:db8:20::/48")], except: [try prefix("10.20.9.0/24")],
            to: [.mountd, .nfs, .nlockmgr, .status, Program(100_011)], lists: true)
        #expect(parsed.rules == [rule])
        #expect(
            parsed.diagnostics.texts == [
                "p.yaml:7:5: warning: nfs without \"open: always\": clients look it up once, at the mount, and hang"
                    + " when"
                    + " the grant has expired; give nfs a rule of its own with \"open: always\""
            ])
    }

    @Test(
        "client terms",
        arguments: [
            ("10.1.2.3", "10.1.2.3/32"), ("10.0.0.0/8", "10.0.0.0/8"), ("0.0.0.0/0", "0.0.0.0/0"),
            ("\"::1\"", "::1/128"), ("\"2001:DB8::/32\"", "2001:db8::/32"), ("\"::/0\"", "::/0"),
        ])
    func clientTerm(_ term: String, _ expected: String) throws {
        let parsed = policy("rules: [{name: r, from: \(term), to: mountd}]")
        #expect(parsed.diagnostics == [])
        #expect(try #require(parsed.rules.first).from == [try prefix(expected)])
    }

    @Test(
        "host names are kept in lower case, without the final dot",
        arguments: [
            ("nfs.example.com", "nfs.example.com"), ("NFS.Example.com.", "nfs.example.com"),
            ("7up.a_b.de", "7up.a_b.de"),
        ])
    func host(_ term: String, _ expected: String) throws {
        let parsed = policy("rules: [{name: r, from: \(term), to: mountd}]")
        #expect(parsed.diagnostics == [])
        #expect(try #require(parsed.rules.first).from == [.host(expected)])
    }

    @Test(
        "program terms",
        arguments: [
            ("mountd", 100_005), ("mount", 100_005), ("\"100005\"", 100_005), ("4294967295", 4_294_967_295), ("1", 1),
        ])
    func program(_ term: String, _ number: UInt32) throws {
        let parsed = policy("rules: [{name: r, from: 10.0.0.1, to: \(term)}]")
        #expect(parsed.diagnostics == [])
        #expect(try #require(parsed.rules.first).to == [Program(number)])
    }

    @Test(
        "ranges of program numbers, in decimal and hexadecimal, in a rule and in a group",
        arguments: [
            ("0x40000000-0x5fffffff", [0x4000_0000...0x5fff_ffff], []),
            ("536870912-0x2000000F", [0x2000_0000...0x2000_000f], []),
            ("[p, 1-5]", [1...9, 20...30], [100_005]), ("100100-4294967295", [100_100...UInt32.max], []),
            ("7-7", [], [7]), ("\"5-6\"", [5...6], []),
        ] as [(String, [ClosedRange<UInt32>], Set<UInt32>)])
    func programRange(_ term: String, _ ranges: [ClosedRange<UInt32>], _ numbers: Set<UInt32>) throws {
        let parsed = policy(
            "programs: {p: [6-9, mountd, q], q: [20-25, 0x17-30]}\nrules: [{name: r, from: 10.0.0.1, to: \(term)}, {name:"
                + " s, from: 10.0.0.2, to: p}]")
        #expect(parsed.diagnostics == [])
        let rule = try #require(parsed.rules.first)
        #expect(rule.programRanges.all.map { $0.lowerBound.rawValue...$0.upperBound.rawValue } == ranges)
        #expect(rule.to == Set(numbers.map { Program($0) }))
    }

    @Test("groups name groups, and each member counts once")
    func groups() throws {
        let parsed = policy(
            """
            rules: [{name: r, from: [all, 10.0.0.1], except: c, to: [p, mount], over: udp, open: never}]
            clients: {all: [a, b], a: [10.0.0.1, 10.0.0.2], b: [a, host.example.com], c: 10.0.0.2}
            programs: {p: [q, 7], q: mountd}
            """)
        #expect(parsed.diagnostics == [])
        let rule = try #require(parsed.rules.first)
        #expect(rule.from == [try prefix("10.0.0.1"), try prefix("10.0.0.2"), .host("host.example.com")])
        #expect(rule.except == [try prefix("10.0.0.2")])
        #expect(rule.to == [.mountd, Program(7)])
        #expect(rule.over == [.udp])
        #expect(rule.open == .never)
        #expect(!rule.lists)
    }

    @Test("a group comes before a host name of the same text")
    func groupFirst() throws {
        let parsed = policy("clients: {a.example.com: [10.0.0.1]}\nrules: [{name: r, from: a.example.com, to: mountd}]")
        #expect(try #require(parsed.rules.first).from == [try prefix("10.0.0.1")])
    }

    @Test("the files of a policy share their groups, in either direction")
    func files() {
        let first = SourceFile(name: "a.yaml", text: "clients: {g: 10.0.0.1}\nrules: [{name: a, from: h, to: mountd}]")
        let second = SourceFile(name: "b.yaml", text: "clients: {h: 10.0.0.2}\nrules: [{name: b, from: g, to: mountd}]")
        let parsed = ParsedPolicy([first, second, SourceFile(name: "c.yaml", text: "")], names: names)
        #expect(parsed.diagnostics == [])
        #expect(parsed.rules.map(\.label) == ["a.yaml:2 \"a\"", "b.yaml:2 \"b\""])
    }

    @Test("rules carry a file's name, diagnostics its path")
    func paths() {
        let text = "rules: [{name: r, from: \"::/0\", to: mountd, open: always}]"
        let parsed = ParsedPolicy(
            [SourceFile(name: "p.yaml", path: "/etc/p.yaml", bytes: Array(text.utf8))], names: names)
        #expect(parsed.rules.map(\.location.file) == ["p.yaml"])
        #expect(parsed.diagnostics.map(\.location.file) == ["/etc/p.yaml"])
    }

    @Test(
        "warnings leave the policy in force",
        arguments: [
            Refused("", "p.yaml:1:1: warning: the policy has no rules: enforce mode denies every call"),
            Refused("rules:", "p.yaml:1:1: warning: the policy has no rules: enforce mode denies every call"),
            Refused(
                "rules: [{name: r, from: 10.0.0.1, to: [mountd, sunrpc]}]",
                "p.yaml:1:48: warning: to: program 100000 is always resolvable for clients that a rule names; leave"
                    + " it out"
            ),
            Refused(
                "clients: {a: [], b: [a]}\nrules: [{name: r, from: 10.0.0.1, except: a, to: mountd}]",
                "p.yaml:1:11: warning: clients: group \"a\" is empty",
                "p.yaml:1:18: warning: clients: no rule uses group \"b\""),
        ])
    func warnings(_ refused: Refused) {
        let parsed = policy(refused.text)
        #expect(parsed.diagnostics.texts == refused.diagnostics)
        #expect(!parsed.diagnostics.hasErrors)
    }

    @Test("ten thousand prefixes fit, with the warnings worked out")
    func large() throws {
        let prefixes = (0..<10_000).map { "10.\($0 >> 8).\($0 & 255).0/24" }.joined(separator: ", ")
        let parsed = policy(
            """
            clients: {all: [\(prefixes)], some: ["10.0.0.0/16"]}
            rules:
              - {name: nfs, from: all, except: some, to: nfs, open: always}
              - {name: rest, from: all, except: some, to: [mountd, nlockmgr, status]}
            """)
        #expect(parsed.diagnostics == [])
        #expect(parsed.rules.map(\.from.count) == [10_000, 10_000])
    }
}
