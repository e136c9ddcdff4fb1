import Addresses
import Configuration
import Policy
import Testing

@testable import PolicyFile

private func gateway(_ servers: String, _ others: String = "") -> String {
    "gateway: {servers: [\(servers)]\(others.isEmpty ? "" : ", " + others)}"
}

@Suite("Gateways")
struct GatewayTests {
    @Test("every key of a gateway and its servers")
    func keys() throws {
        let parsed = configuration(
            """
            gateway:
              servers:
                - name: filer1
                  address: [10.91.2.2, "fd91:2::2"]
                  also-known-as: [203.0.113.9]
                  rpcbind: {address: "10.91.2.2:1111", source: 10.91.2.1, timeout: 1s, refresh: 10s, owners: any}
                  liveness: connect
                  guard: all
                  pass: [tcp/22, tcp/443]
                  close: [tcp/32768-65535]
                  callbacks: off
                - {name: filer2, address: 10.91.2.3}
              routing: check
              tables: [121, 122]
              marks: [0x100000, 0x200000]
              linger: 5m
            """)
        #expect(parsed.diagnostics.texts == [])
        let gateway = try #require(parsed.settings.gateway)
        var first = Settings.Server()
        first.name = "filer1"
        first.addresses = [.v4(0x0a5b_0202), try #require(IPAddress("fd91:2::2"))]
        first.aliases = [.v4(0xcb00_7109)]
        first.rpcbind.endpoint = Settings.Endpoint(.v4(0x0a5b_0202), 1111)
        first.rpcbind.source = .v4(0x0a5b_0201)
        first.rpcbind.timeout = .seconds(1)
        first.rpcbind.refresh = .seconds(10)
        first.rpcbind.owners = ["any"]
        first.liveness = .connect
        first.guarded = .all
        first.pass = [.init(.tcp, 22...22), .init(.tcp, 443...443)]
        first.close = [.init(.tcp, 32_768...65_535)]
        first.callbacks = .off
        var second = Settings.Server()
        second.name = "filer2"
        second.addresses = [.v4(0x0a5b_0203)]
        #expect(gateway.servers == [first, second])
        #expect(gateway.routing == .check && gateway.linger == .seconds(300))
        #expect(gateway.tables == [121, 122] && gateway.marks == [0x100000, 0x200000])
    }

    @Test("nothing, and an empty mapping, are no gateway", arguments: ["", "gateway: {}", "gateway:", "gateway: null"])
    func none(text: String) {
        #expect(configuration(text).settings.gateway == nil && configuration(text).diagnostics.isEmpty)
    }

    @Test(
        "mistakes name the place, the value and the remedy",
        arguments: [
            Refused("gateway: 1", "c.yaml:1:10: error: gateway: expected a mapping, found \"1\""),
            Refused(
                "gateway: {servers: {}}",
                "c.yaml:1:20: error: servers: expected a list, found a mapping; write \"- name: …\""),
            Refused("gateway: {servers: [x]}", "c.yaml:1:21: error: servers: expected a mapping, found \"x\""),
            Refused(
                gateway("{adress: 10.0.0.1}"),
                "c.yaml:1:21: error: \"name\" is missing", "c.yaml:1:21: error: \"address\" is missing",
                "c.yaml:1:22: error: unknown key \"adress\"; did you mean \"address\"?"),
            Refused(
                gateway("{name: a, address: []}"),
                "c.yaml:1:40: error: address: the list is empty; leave the key out for the default"),
            Refused(
                gateway("{name: a, address: filer.example}"),
                "c.yaml:1:40: error: address: \"filer.example\" is not an address; write the addresses; names are not"
                    + " resolved here"),
            Refused(
                gateway("{name: a, address: 127.0.0.1}"),
                "c.yaml:1:40: error: address: 127.0.0.1 is not an address of another host; name the server's own address"
            ),
            Refused(
                gateway("{name: a, address: \"fe80::2\"}"),
                "c.yaml:1:40: error: address: fe80::2 is a link-local address, to which nothing is forwarded; write the"
                    + " server's others"),
            Refused(
                gateway("{name: a, address: \"fd91::2\", rpcbind: {address: \"[fe80::2]:111\"}}"),
                "c.yaml:1:70: error: address: [fe80::2]:111 is a link-local address, which means nothing without an"
                    + " interface; name another address of the server's portmapper"),
            Refused(
                gateway("{name: \"a b\", address: 10.0.0.1}"),
                "c.yaml:1:28: error: name: \"a b\" is not a server's name; use letters, digits, _, - and ., a letter or"
                    + " a digit first, at most 64"),
            Refused(
                gateway("{name: any-server, address: 10.0.0.1}"),
                "c.yaml:1:28: error: name: \"any-server\" means every server in a policy; choose another name"),
            Refused(
                gateway("{name: a, address: 10.0.0.1}, {name: a, address: 10.0.0.2}"),
                "c.yaml:1:58: error: two servers are called \"a\"; the first is at c.yaml:1:28"),
            Refused(
                gateway("{name: a, address: 10.0.0.1}, {name: b, address: 10.0.0.2, also-known-as: 10.0.0.1}"),
                "c.yaml:1:95: error: also-known-as: 10.0.0.1 is an address of \"a\" too; each address belongs to one"
                    + " server"),
            Refused(
                gateway("{name: a, address: 10.0.0.1, liveness: ping}"),
                "c.yaml:1:60: error: liveness: expected call, connect or off, found \"ping\""),
            Refused(
                gateway("{name: a, address: 10.0.0.1, rpcbind: {source: \"fd91::1\"}}"),
                "c.yaml:1:68: error: source: fd91::1 can't reach an IPv4 address; name an address of the same family as"
                    + " rpcbind.address"),
            Refused(
                gateway("{name: a, address: 10.0.0.1, close: [tcp/1-1023]}"),
                "c.yaml:1:58: error: close: tcp/1-1023 contains port 22, and \"never\" excludes it from the guard; leave"
                    + " 22 out of the range"),
            Refused(
                gateway("{name: a, address: 10.0.0.1, guard: all, pass: tcp/100-200}"),
                "c.yaml:1:68: error: pass: tcp/100-200 contains port 111, which is always closed; leave 111 out of the"
                    + " range"),
            Refused(
                gateway("{name: a, address: 10.0.0.1, rpcbind: {address: \"127.0.0.1:111\"}}"),
                "c.yaml:1:69: error: address: 127.0.0.1:111 is not an address of another host; name the address of the"
                    + " server's portmapper"),
            Refused(
                gateway("{name: a, address: 10.0.0.1}", "tables: [111]"),
                "c.yaml:1:60: error: tables: expected two values, found 1"),
            Refused(
                gateway("{name: a, address: 10.0.0.1}", "tables: [254, 112]"),
                "c.yaml:1:61: error: tables: 254 is one of the kernel's own routing tables; choose another number"),
            Refused(
                gateway("{name: a, address: 10.0.0.1}", "marks: [0x3, 0x1]"),
                "c.yaml:1:59: error: gateway: its two marks share 0x1; give each a bit of its own"),
            Refused(
                "firewall: {mark: 0x20000}\n" + gateway("{name: a, address: 10.0.0.1}"),
                "c.yaml:2:10: error: gateway: marks and firewall.mark share 0x20000; give each a bit of its own"),
            Refused(
                "firewall: {manage: sets}\n" + gateway("{name: a, address: 10.0.0.1}"),
                "c.yaml:1:20: error: manage: with \"sets\" rpcwarden makes no chains, so no call to a server of"
                    + " \"gateway\" is intercepted; write \"manage: guard\", and let your own ruleset accept packets with"
                    + " firewall.mark"),
        ])
    func mistakes(_ refused: Refused) {
        #expect(configuration(refused.text).diagnostics.texts == refused.diagnostics)
    }

    @Test(
        "an address of this host is no server's, nor its portmapper's; the public address of a NAT may be this host's",
        arguments: [
            Refused(
                gateway("{name: a, address: [10.0.0.1, 10.0.0.254]}"),
                "c.yaml:1:51: error: address: 10.0.0.254 is an address of this host; name the server's own addresses, and"
                    + " write rules without \"at\" for this host"),
            Refused(
                gateway("{name: a, address: \"fd91::fe\"}"),
                "c.yaml:1:40: error: address: fd91::fe is an address of this host; name the server's own addresses, and"
                    + " write rules without \"at\" for this host"),
            Refused(
                gateway("{name: a, address: 10.0.0.1, rpcbind: {address: \"10.0.0.254:1111\"}}"),
                "c.yaml:1:69: error: address: 10.0.0.254:1111 is not an address of another host; name the address of the"
                    + " server's portmapper"),
            Refused(gateway("{name: a, address: 10.0.0.1, also-known-as: 10.0.0.254}")),
        ])
    func ownAddresses(_ refused: Refused) throws {
        let own = Set([IPAddress.v4(0x0a00_00fe), try #require(IPAddress("fd91::fe"))])
        let source = SourceFile(name: "c.yaml", text: refused.text)
        #expect(ParsedConfiguration(source, ownAddresses: own).diagnostics.texts == refused.diagnostics)
        #expect(ParsedConfiguration(source).diagnostics.isEmpty, "where this host's addresses are unknown")
    }

    @Test("an empty group names no server")
    func empty() {
        let groups = "servers: {none: []}"
        #expect(parsed("at: none", ["nas"], groups: groups).rules.map(\.at) == [.servers([])])
    }

    @Test("what has no effect is warned of")
    func warnings() {
        #expect(
            configuration("gateway: {routing: check}").diagnostics.texts == [
                "c.yaml:1:10: warning: gateway: there are no servers; leave gateway out"
            ])
        #expect(
            configuration(gateway("{name: a, address: 10.0.0.1, pass: tcp/22}")).diagnostics.texts == [
                "c.yaml:1:56: warning: pass: has no effect with \"guard: registered\"; write \"guard: all\", or leave pass"
                    + " out"
            ])
    }

    private func parsed(_ rule: String, _ servers: [String]?, groups: String = "") -> ParsedPolicy {
        let text = "\(groups)\nrules:\n  - {name: r, from: 10.0.0.0/8, to: mountd, \(rule)}\n"
        return ParsedPolicy([SourceFile(name: "p.yaml", text: text)], names: names, servers: servers)
    }

    @Test(
        "a rule names servers, groups of them, or all; without `at` it is about this host",
        arguments: [
            ("list: false", ServerScope.thisHost), ("at: ~", .thisHost), ("at: filer1", .servers(["filer1"])),
            ("at: [filers]", .servers(["filer1", "filer2"])), ("at: [all]", .servers(["filer1", "filer2", "nas"])),
            ("at: any-server", .anyServer), ("at: [nas, any-server]", .anyServer),
        ])
    func scopes(rule: String, scope: ServerScope) {
        let groups = "servers: {filers: [filer1, filer2], all: [filers, nas]}"
        let parsed = parsed(rule, ["filer1", "filer2", "nas"], groups: groups)
        #expect(parsed.diagnostics.filter { $0.severity == .error }.isEmpty, "\(parsed.diagnostics)")
        #expect(parsed.rules.map(\.at) == [scope])
    }

    @Test(
        "unknown servers are refused, with the nearest name; without a configuration every name is taken",
        arguments: [
            ("at: filer", ["filer1"], "p.yaml:3:49: error: unknown server \"filer\"; did you mean \"filer1\"?"),
            ("at: x", ["filer1", "nas"], "p.yaml:3:49: error: unknown server \"x\"; known servers: filer1, nas"),
            ("at: nas", [], "p.yaml:3:49: error: unknown server \"nas\"; the configuration has no gateway.servers"),
            ("at: []", ["nas"], "p.yaml:3:49: error: at: expected a list, found an empty list"),
            ("at: [\"a b\"]", nil as [String]?, "p.yaml:3:50: error: \"a b\" is not a server's name; use letters,"),
        ])
    func unknown(rule: String, servers: [String]?, text: String) {
        let texts = parsed(rule, servers).diagnostics.texts
        #expect(texts.count == 1 && texts.first?.hasPrefix(text) == true, "\(texts)")
        #expect(parsed("at: filer", nil).rules.map(\.at) == [.servers(["filer"])])
    }

    @Test(
        "a group can't have a server's name",
        arguments: [("any-server", "every server"), ("nas", "a server")])
    func groupNames(name: String, what: String) {
        #expect(
            parsed("at: nas", ["nas"], groups: "servers: {\(name): [nas]}").diagnostics.texts == [
                "p.yaml:1:11: error: servers: a group can't be called \"\(name)\", which is \(what); choose another name"
            ])
    }

    @Test("a rule at one server doesn't complete a rule at another")
    func warningsByServer() {
        let rules = { (locks: String) in
            """
            rules:
              - {name: nfs, from: 10.0.0.0/8, at: nas, to: [mountd, nfs], open: always}
              - {name: locks, from: 10.0.0.0/8, \(locks) to: [nlockmgr, status]}
            """
        }
        let warnings = { (locks: String) in
            ParsedPolicy([SourceFile(name: "p.yaml", text: rules(locks))], names: names, servers: ["nas", "other"])
                .diagnostics.texts.filter { $0.contains("locks would hang") }.count
        }
        #expect(warnings("at: nas,") == 0 && warnings("at: any-server,") == 0)
        #expect(warnings("") == 1 && warnings("at: other,") == 1)
    }
}
