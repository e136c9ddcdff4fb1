import Policy
import Testing

@testable import PolicyFile

/// A policy of one rule, in which `line` replaces the default line of the same key.
private func rule(_ line: String) -> String {
    let key = line.prefix { $0 != ":" }
    let lines = ["name: r", "from: 10.0.0.0/8", "to: mountd"].filter { !$0.hasPrefix(key + ":") } + [line]
    return "rules:\n  - " + lines.joined(separator: "\n    ")
}

private func from(_ term: String) -> String { rule("from: [\(term)]") }
private func to(_ term: String) -> String { rule("to: [\(term)]") }

@Suite("Mistakes in a policy")
struct PolicyMistakeTests {
    @Test(
        "clients",
        arguments: [
            Refused(
                from("10.20.1.5/16"),
                "p.yaml:4:12: error: \"10.20.1.5/16\" has bits set beyond its length; write 10.20.0.0/16"),
            Refused(
                from("\"2001:db8::1/48\""),
                "p.yaml:4:12: error: \"2001:db8::1/48\" has bits set beyond its length; write 2001:db8::/48"),
            Refused(
                from("10.0.0.0/33"),
                "p.yaml:4:12: error: \"10.0.0.0/33\" has no prefix length of 0 to 32; write a number after the slash, as in 10.0.0.0/32"
            ),
            Refused(
                from("\"2001:db8::/129\""),
                "p.yaml:4:12: error: \"2001:db8::/129\" has no prefix length of 0 to 128; write a number after the slash, as in 2001:db8::/128"
            ),
            Refused(
                from("10.0.0.0/08"),
                "p.yaml:4:12: error: \"10.0.0.0/08\" has no prefix length of 0 to 32; write a number after the slash, as in 10.0.0.0/32"
            ),
            Refused(
                from("10.0.0.0/"),
                "p.yaml:4:12: error: \"10.0.0.0/\" has no prefix length of 0 to 32; write a number after the slash, as in 10.0.0.0/32"
            ),
            Refused(
                from("10.20.0.0/255.255.0.0"),
                "p.yaml:4:12: error: \"10.20.0.0/255.255.0.0\" has no prefix length of 0 to 32; write 10.20.0.0/16"),
            Refused(
                from("\"::ffff:10.0.0.1\""),
                "p.yaml:4:12: error: \"::ffff:10.0.0.1\" is an IPv4-mapped address; write 10.0.0.1"),
            Refused(
                from("\"::ffff:10.0.0.0/104\""),
                "p.yaml:4:12: error: \"::ffff:10.0.0.0/104\" is an IPv4-mapped prefix; write it as IPv4"),
            Refused(from("\"fe80::1%eth0\""), "p.yaml:4:12: error: \"fe80::1%eth0\" has a zone; write fe80::1"),
            Refused(
                from("10.20.300.1"),
                "p.yaml:4:12: error: \"10.20.300.1\" is not an address; write an IPv4 or IPv6 address"),
            Refused(
                from("10.20.1"), "p.yaml:4:12: error: \"10.20.1\" is not an address; write an IPv4 or IPv6 address"),
            Refused(from("10.20/16"), "p.yaml:4:12: error: \"10.20\" is not an address; write an IPv4 or IPv6 address"),
            Refused(
                from("10.0.0.1-10.0.0.9"),
                "p.yaml:4:12: error: \"10.0.0.1-10.0.0.9\" is not an address; write an IPv4 or IPv6 address"),
            Refused(
                from("\"2001:db8:::1\""),
                "p.yaml:4:12: error: \"2001:db8:::1\" is not an address; write an IPv4 or IPv6 address"),
            Refused(
                from("0.0.0.0"), "p.yaml:4:12: error: 0.0.0.0 is not a client's address; write 0.0.0.0/0 for everyone"),
            Refused(
                from("\"*\""), "p.yaml:4:12: error: \"*\" is not a client; write 0.0.0.0/0 and \"::/0\" for everyone"),
            Refused(
                from("\"*.example.com\""),
                "p.yaml:4:12: error: \"*.example.com\" is a wildcard; write the prefix of these clients"),
            Refused(
                from("\"@staff\""), "p.yaml:4:12: error: \"@staff\" is a netgroup; write the prefixes of its members"),
            Refused(
                from("10.0.0.1."), "p.yaml:4:12: error: \"10.0.0.1.\" is not an address; write an IPv4 or IPv6 address"),
            Refused(
                from("-a.example.com"),
                "p.yaml:4:12: error: \"-a.example.com\" is not a host name; use letters, digits, -, _ and single dots"),
            Refused(
                from("a..example.com"),
                "p.yaml:4:12: error: \"a..example.com\" is not a host name; use letters, digits, -, _ and single dots"),
            Refused(
                from("\"a b.example.com\""),
                "p.yaml:4:12: error: \"a b.example.com\" is not a host name; use letters, digits, -, _ and single dots"),
            Refused(
                from("host"),
                "p.yaml:4:12: error: unknown group of clients \"host\"; name a group, an address, a prefix, or a host"
                    + " with its domain"
            ),
            Refused(
                "clients: {workstations: [10.0.0.0/8]}\n" + from("workstation"),
                "p.yaml:5:12: error: unknown group of clients \"workstation\"; did you mean \"workstations\"?"),
            Refused(from("[10.0.0.0/8]"), "p.yaml:4:12: error: from: expected one value, found a list"),
            Refused(
                rule("except: nobody"),
                "p.yaml:5:13: error: unknown group of clients \"nobody\"; name a group, an address, a prefix, or a"
                    + " host with its domain"
            ),
        ])
    func clients(_ refused: Refused) {
        let parsed = policy(refused.text)
        #expect(parsed.diagnostics.texts == refused.diagnostics)
        #expect(parsed.rules == [])
    }

    @Test(
        "programs",
        arguments: [
            Refused(to("mountdd"), "p.yaml:4:10: error: unknown program \"mountdd\"; did you mean \"mountd\"?"),
            Refused(to("nfsd"), "p.yaml:4:10: error: unknown program \"nfsd\"; did you mean \"nfs\"?"),
            Refused(
                to("something-else"),
                "p.yaml:4:10: error: unknown program \"something-else\"; write a name of /etc/rpc, or a number"),
            Refused(to("0"), "p.yaml:4:10: error: \"0\" is not a program number; write 1 to 4294967295"),
            Refused(
                to("4294967296"), "p.yaml:4:10: error: \"4294967296\" is not a program number; write 1 to 4294967295"),
            Refused(to("0100003"), "p.yaml:4:10: error: \"0100003\" is not a program number; write 1 to 4294967295"),
            Refused(to("0x20000001"), "p.yaml:4:10: error: \"0x20000001\" is not a program number; write 536870913"),
            Refused(to("-1"), "p.yaml:4:10: error: unknown program \"-1\"; write a name of /etc/rpc, or a number"),
            Refused(
                to("0x5fffffff-0x40000000"),
                "p.yaml:4:10: error: \"0x5fffffff-0x40000000\" runs backwards; write 0x40000000-0x5fffffff"),
            Refused(
                to("0x40000000-0x100000000"),
                "p.yaml:4:10: error: \"0x40000000-0x100000000\" is not a range of program numbers; write two numbers of 1"
                    + " to 4294967295, as in 0x40000000-0x5fffffff"),
            Refused(
                to("0-5"),
                "p.yaml:4:10: error: \"0-5\" is not a range of program numbers; write two numbers of 1 to 4294967295, as"
                    + " in 0x40000000-0x5fffffff"),
            Refused(
                to("07-9"),
                "p.yaml:4:10: error: \"07-9\" is not a range of program numbers; write two numbers of 1 to 4294967295, as"
                    + " in 0x40000000-0x5fffffff"),
            Refused(
                to("0x4000000g-0x5fffffff"),
                "p.yaml:4:10: error: \"0x4000000g-0x5fffffff\" is not a range of program numbers; write two numbers of 1"
                    + " to 4294967295, as in 0x40000000-0x5fffffff"),
            Refused(
                to("99999-0x186a5"),
                "p.yaml:4:10: error: \"99999-0x186a5\" contains 100000, the portmapper itself, which no rule opens; write"
                    + " 99999-99999, 100001-0x186a5"),
            Refused(
                to("100000-100005"),
                "p.yaml:4:10: error: \"100000-100005\" contains 100000, the portmapper itself, which no rule opens; write"
                    + " 100001-100005"),
            Refused(
                to("5-6-7"), "p.yaml:4:10: error: unknown program \"5-6-7\"; write a name of /etc/rpc, or a number"),
            Refused(to("5-"), "p.yaml:4:10: error: unknown program \"5-\"; write a name of /etc/rpc, or a number"),
            Refused(
                "programs: {5-6: [nfs]}",
                "p.yaml:1:12: error: programs: a group can't be called \"5-6\", which is a program; choose another"
                    + " name"),
            Refused(
                "programs: {locking: [nlockmgr]}\n" + to("lockign"),
                "p.yaml:5:10: error: unknown program \"lockign\"; did you mean \"locking\"?"),
        ])
    func programs(_ refused: Refused) {
        #expect(policy(refused.text).diagnostics.texts == refused.diagnostics)
    }

    @Test(
        "rules",
        arguments: [
            Refused(rule("list: yes"), "p.yaml:5:11: error: list: expected true or false, found \"yes\"; write true"),
            Refused(rule("list: off"), "p.yaml:5:11: error: list: expected true or false, found \"off\"; write false"),
            Refused(rule("list: 7"), "p.yaml:5:11: error: list: expected true or false, found \"7\""),
            Refused(
                rule("open: onlookup"),
                "p.yaml:5:11: error: open: expected never, on-lookup or always, found \"onlookup\"; did you mean"
                    + " \"on-lookup\"?"
            ),
            Refused(rule("open: [always]"), "p.yaml:5:11: error: open: expected one value, found a list"),
            Refused(rule("over: [tcp, sctp]"), "p.yaml:5:17: error: over: expected tcp or udp, found \"sctp\""),
            Refused(rule("over: [tcp, tcp]"), "p.yaml:5:17: error: over: \"tcp\" is listed twice"),
            Refused(rule("over: []"), "p.yaml:5:11: error: over: the list is empty; leave the key out for the default"),
            Refused(rule("form: x"), "p.yaml:5:5: error: unknown key \"form\"; did you mean \"from\"?"),
            Refused(
                rule("deny: true"),
                "p.yaml:5:5: error: unknown key \"deny\"; known keys: name, from, except, at, to, over, list, open"),
            Refused(rule("name: \"\""), "p.yaml:4:11: error: name: expected a text, found an empty text"),
            Refused(rule("name:"), "p.yaml:4:10: error: name: expected a text, found nothing"),
            Refused(
                rule("name: \"a\\nb\""),
                "p.yaml:4:11: error: name: \"a\\u{a}b\" contains a control character; leave it out"),
            Refused(
                rule("name: " + String(repeating: "x", count: 101)),
                "p.yaml:4:11: error: name: 101 characters are too many; use at most 100"),
            Refused(rule("from: []"), "p.yaml:4:11: error: from: expected a list, found an empty list"),
            Refused(rule("to:"), "p.yaml:4:8: error: to: expected a list, found nothing"),
            Refused(rule("to: {mountd: x}"), "p.yaml:4:9: error: to: expected a list, found a mapping"),
            Refused(
                "rules:\n  - name: r", "p.yaml:2:5: error: the rule has no \"from\"; add \"from:\" and its clients",
                "p.yaml:2:5: error: the rule has no \"to\"; add \"to:\" and its programs"),
            Refused(
                "rules:\n  - {from: 10.0.0.1, to: nfs}",
                "p.yaml:2:5: error: the rule has no \"name\"; add \"name:\" and what the rule is for"),
            Refused("rules: [mountd]", "p.yaml:1:9: error: expected a rule, found \"mountd\"; write \"- name: …\""),
            Refused(
                "rules: {name: r}", "p.yaml:1:8: error: rules: expected a list, found a mapping; write \"- name: …\""),
            Refused(
                "rules:\n- {name: r, from: 10.0.0.1, to: mountd}\n- {name: r, from: 10.0.0.2, to: mountd}",
                "p.yaml:3:10: error: two rules are called \"r\"; the first is at p.yaml:2:10"),
        ])
    func rules(_ refused: Refused) {
        #expect(policy(refused.text).diagnostics.texts == refused.diagnostics)
    }

    @Test(
        "groups and the whole",
        arguments: [
            Refused("ruls: []", "p.yaml:1:1: error: unknown key \"ruls\"; did you mean \"rules\"?"),
            Refused(
                "mode: enforce",
                "p.yaml:1:1: error: \"mode\" is a key of the configuration, not of a policy; move it to"
                    + " rpcwarden.yaml"),
            Refused("[rules]", "p.yaml:1:1: error: expected clients, programs, servers and rules, found a list"),
            Refused("nfs", "p.yaml:1:1: error: expected clients, programs, servers and rules, found \"nfs\""),
            Refused(
                "clients: [a]",
                "p.yaml:1:10: error: clients: expected groups, found a list; write \"name: [member, …]\""),
            Refused("clients: {a b: [10.0.0.1]}", "p.yaml:1:11: error: clients: \"a b\" is not a group name"),
            Refused(
                "clients: {10.0.0.1: [10.0.0.2]}",
                "p.yaml:1:11: error: clients: a group can't be called \"10.0.0.1\", which is an address"),
            Refused(
                "programs: {nfs: [nfs, mountd]}",
                "p.yaml:1:12: error: programs: a group can't be called \"nfs\", which is a program; choose another name"
            ),
            Refused(
                "programs: {7: [nfs]}",
                "p.yaml:1:12: error: programs: a group can't be called \"7\", which is a program; choose another name"),
            Refused(
                "clients: {a: [b], b: [c], c: [b, 10.0.0.1]}\n" + from("a"),
                "p.yaml:1:31: error: clients: a group contains itself: \"b\" → \"c\" → \"b\""),
            Refused(
                "programs: {a: [a]}", "p.yaml:1:12: warning: programs: no rule uses group \"a\"",
                "p.yaml:1:16: error: programs: a group contains itself: \"a\" → \"a\""),
            Refused(
                "clients: {a: [10.0.0.1/8, b]}", "p.yaml:1:11: warning: clients: no rule uses group \"a\"",
                "p.yaml:1:15: error: \"10.0.0.1/8\" has bits set beyond its length; write 10.0.0.0/8",
                "p.yaml:1:27: error: unknown group of clients \"b\"; name a group, an address, a prefix, or a host"
                    + " with its domain"
            ),
        ])
    func groups(_ refused: Refused) {
        #expect(policy(refused.text).diagnostics.texts == refused.diagnostics)
    }

    @Test("tells of all mistakes, in the order of their places")
    func all() {
        let text = """
            clients:
              a: [10.0.0.1/8]
            rules:
              - name: r
                from: [a, c]
                to: [mountdd, nfs]
                open: alway
                list: on
            """
        #expect(
            policy(text).diagnostics.texts == [
                "p.yaml:2:7: error: \"10.0.0.1/8\" has bits set beyond its length; write 10.0.0.0/8",
                "p.yaml:5:15: error: unknown group of clients \"c\"; name a group, an address, a prefix, or a host"
                    + " with its domain",
                "p.yaml:6:10: error: unknown program \"mountdd\"; did you mean \"mountd\"?",
                "p.yaml:7:11: error: open: expected never, on-lookup or always, found \"alway\"; did you mean"
                    + " \"always\"?",
                "p.yaml:8:11: error: list: expected true or false, found \"on\"; write true",
            ])
    }

    @Test("names both places of what two files have alike")
    func twoFiles() {
        let first = SourceFile(
            name: "a.yaml", text: "clients: {g: [10.0.0.1]}\nrules: [{name: r, from: g, to: mountd}]")
        let second = SourceFile(
            name: "b.yaml", text: "clients: {g: [10.0.0.2]}\nrules: [{name: r, from: g, to: mountd}]")
        #expect(
            ParsedPolicy([first, second], names: names).diagnostics.texts == [
                "b.yaml:1:11: error: clients: group \"g\" is defined twice; the first is at a.yaml:1:11",
                "b.yaml:2:16: error: two rules are called \"r\"; the first is at a.yaml:2:16",
            ])
    }

    @Test("cuts what it quotes, and shows no control characters")
    func quoting() {
        let long = String(repeating: "x", count: 70)
        #expect(
            policy(to(long)).diagnostics.texts == [
                "p.yaml:4:10: error: unknown program \"\(long.prefix(60))…\"; write a name of /etc/rpc, or a number"
            ])
        #expect(policy("\"\\e[2J\\u202e\": 1").diagnostics.texts.first?.contains("\"\\u{1b}[2J\\u{202e}\"") == true)
    }

    @Test("stops telling after 500 errors")
    func flood() {
        let text = "rules:\n" + String(repeating: "- x\n", count: 600)
        let diagnostics = policy(text).diagnostics
        #expect(diagnostics.count == 501)
        #expect(diagnostics.last?.description == "p.yaml:502:3: error: more than 500 errors; the rest is not shown")
    }

    @Test("searches the word that was meant for the first 20 errors")
    func suggestions() {
        let names = (0..<100).map { "group\($0)" }
        let groups = names.map { "  \($0): [10.0.0.1]\n" }.joined()
        let mistakes = names.map { "x\($0)" }.joined(separator: ", ")
        let diagnostics = policy("clients:\n\(groups)\(from(mistakes))").diagnostics
        #expect(diagnostics.count == 100)
        #expect(diagnostics.first?.hint == "did you mean \"group0\"?")
        #expect(diagnostics.count { $0.hint != nil } == 20)
    }

    @Test("a chain of groups is followed 16 deep, and no deeper")
    func nesting() {
        func chain(_ count: Int) -> String {
            let groups = (1..<count).map { "  g\($0): [g\($0 + 1)]\n" }.joined()
            return "clients:\n\(groups)  g\(count): [10.0.0.1]\n" + from("g1")
        }
        #expect(policy(chain(16)).diagnostics == [])
        #expect(policy(chain(17)).diagnostics.texts == ["p.yaml:17:9: error: clients: groups nested deeper than 16"])
        #expect(policy(chain(20_000)).diagnostics.hasErrors)
    }

    @Test("refuses groups that multiply each other beyond measure")
    func multiplication() {
        let prefixes = (0..<10_000).map { "10.\($0 >> 8).\($0 & 255).0/24" }.joined(separator: ", ")
        let rules = (0..<100).map { "- {name: r\($0), from: all, to: mountd}\n" }.joined()
        let diagnostics = policy("clients:\n  all: [\(prefixes)]\nrules:\n\(rules)").diagnostics.texts
        #expect(
            diagnostics == [
                "p.yaml:103:21: error: clients: the groups and rules expand to more than 1000000 members in all"
            ])
    }
}
