import Testing

@testable import PolicyFile

@Suite("Mistakes in the configuration")
struct ConfigurationMistakeTests {
    @Test(
        "keys and kinds",
        arguments: [
            Refused("mod: enforce", "c.yaml:1:1: error: unknown key \"mod\"; did you mean \"mode\"?"),
            Refused("rpcbind: {tiemout: 1s}", "c.yaml:1:11: error: unknown key \"tiemout\"; did you mean \"timeout\"?"),
            Refused("denial: {x: 1}", "c.yaml:1:10: error: unknown key \"x\"; known keys: strangers, refuse"),
            Refused(
                "rules: []",
                "c.yaml:1:1: error: \"rules\" is a key of a policy, not of the configuration; move it to a policy"
                    + " file"),
            Refused("- mode", "c.yaml:1:1: error: the configuration: expected a mapping, found a list"),
            Refused("mode", "c.yaml:1:1: error: the configuration: expected a mapping, found \"mode\""),
            Refused("limits: 50", "c.yaml:1:9: error: limits: expected a mapping, found \"50\""),
            Refused(
                "mode: enforced",
                "c.yaml:1:7: error: mode: expected enforce or observe, found \"enforced\"; did you mean \"enforce\"?"),
            Refused(
                "mode: Enforce",
                "c.yaml:1:7: error: mode: expected enforce or observe, found \"Enforce\"; did you mean \"enforce\"?"),
            Refused("mode: [observe]", "c.yaml:1:7: error: mode: expected one value, found a list"),
            Refused(
                "firewall: {manage: set}",
                "c.yaml:1:20: error: manage: expected guard or sets, found \"set\"; did you mean \"sets\"?"),
            Refused(
                "denial: {refuse: silent}",
                "c.yaml:1:18: error: refuse: expected auth-error, not-registered or silence, found \"silent\"; did"
                    + " you mean \"silence\"?"
            ),
            Refused(
                "denial: {strangers: drop}",
                "c.yaml:1:21: error: strangers: expected silence or auth-error, found \"drop\""),
            Refused(
                "quarantine: off",
                "c.yaml:1:13: error: quarantine: expected true or false, found \"off\"; write false"),
            Refused("quarantine: [1]", "c.yaml:1:13: error: quarantine: expected a mapping, found a list"),
            Refused(
                "quarantine: {strangers: true}",
                "c.yaml:1:14: error: unknown key \"strangers\"; known keys: after, within, for, listed"),
            Refused(
                "limits: {udp-list: 1}", "c.yaml:1:20: error: udp-list: expected true or false, found \"1\"; write true"
            ),
            Refused("policy: \"\"", "c.yaml:1:9: error: policy: expected a text, found an empty text"),
            Refused(
                "policy: \"a\\0b\"",
                "c.yaml:1:9: error: policy: \"a\\u{0}b\" contains a control character; leave it out"),
        ])
    func keys(_ refused: Refused) {
        #expect(configuration(refused.text).diagnostics.texts == refused.diagnostics)
    }

    @Test(
        "durations and counts",
        arguments: [
            Refused("firewall: {keep: 30}", "c.yaml:1:18: error: keep: \"30\" has no unit; write 30s for seconds"),
            Refused(
                "firewall: {keep: soon}",
                "c.yaml:1:18: error: keep: \"soon\" is not a duration; write a number and one of ms, s, m, h, d, such as"
                    + " 30s"
            ),
            Refused(
                "firewall: {keep: 1h30m}",
                "c.yaml:1:18: error: keep: \"1h30m\" is not a duration; write a number and one of ms, s, m, h, d, such"
                    + " as 30s"
            ),
            Refused(
                "firewall: {keep: 1.5h}",
                "c.yaml:1:18: error: keep: \"1.5h\" is not a duration; write a number and one of ms, s, m, h, d, such as"
                    + " 30s"
            ),
            Refused(
                "firewall: {keep: 1w}",
                "c.yaml:1:18: error: keep: \"1w\" is not a duration; write a number and one of ms, s, m, h, d, such as 30s"
            ),
            Refused(
                "firewall: {keep: -1s}",
                "c.yaml:1:18: error: keep: \"-1s\" is not a duration; write a number and one of ms, s, m, h, d, such as"
                    + " 30s"
            ),
            Refused("firewall: {keep: 0}", "c.yaml:1:18: error: keep: 0 is out of range; use 1s to 365d"),
            Refused("firewall: {keep: 366d}", "c.yaml:1:18: error: keep: 366d is out of range; use 1s to 365d"),
            Refused("firewall: {keep: 999ms}", "c.yaml:1:18: error: keep: 999ms is out of range; use 1s to 365d"),
            Refused(
                "firewall: {keep: 99999999999999999999d}",
                "c.yaml:1:18: error: keep: \"99999999999999999999d\" is not a duration; write a number and one of ms, s,"
                    + " m, h, d, such as 30s"
            ),
            Refused(
                "firewall: {keep: 999999999d}",
                "c.yaml:1:18: error: keep: 999999999d is out of range; use 1s to 365d"),
            Refused(
                "firewall: {revive: 500ms}",
                "c.yaml:1:20: error: revive: 500ms is out of range; use 0, or 1s to 365d"),
            Refused(
                "firewall: {revive: 0x10}",
                "c.yaml:1:20: error: revive: \"0x10\" is not a duration; write a number and one of ms, s, m, h, d, such as"
                    + " 30s"),
            Refused("rpcbind: {timeout: 5m}", "c.yaml:1:20: error: timeout: 5m is out of range; use 10ms to 1m"),
            Refused(
                "limits: {calls-per-second: 0}",
                "c.yaml:1:28: error: calls-per-second: 0 is out of range; use 1 to 1000000"),
            Refused(
                "limits: {record-bytes: 399}",
                "c.yaml:1:24: error: record-bytes: 399 is out of range; use 400 to 1048576"),
            Refused("limits: {record-bytes: 4K}", "c.yaml:1:24: error: record-bytes: expected a number, found \"4K\""),
            Refused(
                "limits: {record-bytes: 010000}",
                "c.yaml:1:24: error: record-bytes: expected a number, found \"010000\""),
            Refused(
                "limits: {grants: 99999999999999999999}",
                "c.yaml:1:18: error: grants: 99999999999999999999 is out of range; use 1 to 1048576"),
            Refused(
                "firewall: {mark: 0x1ffffffff}",
                "c.yaml:1:18: error: mark: \"0x1ffffffff\" is not a mark; write 0 to 0xffffffff, in hexadecimal or decimal"
            ),
            Refused(
                "firewall: {ct-mark: 010}",
                "c.yaml:1:21: error: ct-mark: \"010\" is not a mark; write 0 to 0xffffffff, in hexadecimal or decimal"
            ),
            Refused(
                "firewall: {ct-mark: 0x0}",
                "c.yaml:1:21: error: ct-mark: the mark has no bit, and flows are recognized by it; write 1 to 0xffffffff"
            ),
            Refused(
                "firewall: {ct-mark: 0x3, own-ct-mark: 2}",
                "c.yaml:1:39: error: firewall: ct-mark and own-ct-mark share 0x2; give each a bit of its own"
            ),
            Refused(
                "firewall: {ct-mark: 0x60000000}",
                "c.yaml:1:21: error: firewall: ct-mark and own-ct-mark share 0x40000000; give each a bit of its own"
            ),
            Refused(
                "firewall: {mark: +5}",
                "c.yaml:1:18: error: mark: \"+5\" is not a mark; write 0 to 0xffffffff, in hexadecimal or decimal"
            ),
            Refused(
                "firewall: {mark: 0x}",
                "c.yaml:1:18: error: mark: \"0x\" is not a mark; write 0 to 0xffffffff, in hexadecimal or decimal"),
        ])
    func numbers(_ refused: Refused) {
        #expect(configuration(refused.text).diagnostics.texts == refused.diagnostics)
    }

    @Test(
        "addresses, ports and paths",
        arguments: [
            Refused(
                "listen: 0.0.0.0",
                "c.yaml:1:9: error: listen: \"0.0.0.0\" has no port; write the port after a colon, such as 127.0.0.1:9811"
            ),
            Refused(
                "listen: \"::1\"",
                "c.yaml:1:9: error: listen: \"::1\" is not an address with a port; write IPv6 as \"[::1]:9811\""),
            Refused("listen: [10.0.0.1:0]", "c.yaml:1:10: error: listen: 0 is out of range; use 1 to 65535"),
            Refused(
                "listen: [10.0.0.1:65536]", "c.yaml:1:10: error: listen: 65536 is out of range; use 1 to 65535"),
            Refused("listen: [\"10.0.0.1:\"]", "c.yaml:1:10: error: listen: expected a number, found \"\""),
            Refused(
                "listen: [\"*:111\"]",
                "c.yaml:1:10: error: listen: \"*\" is not an address; write 0.0.0.0, and [::] for IPv6"),
            Refused(
                "listen: [server:111]",
                "c.yaml:1:10: error: listen: \"server\" is not an address; write an IPv4 or IPv6 address"),
            Refused(
                "listen: [\"[10.0.0.1]:111\"]",
                "c.yaml:1:10: error: listen: only IPv6 is written in brackets; write 10.0.0.1"),
            Refused(
                "listen: [\"[fe80::1%eth0]:111\"]",
                "c.yaml:1:10: error: listen: \"fe80::1%eth0\" has a zone; write fe80::1"),
            Refused(
                "listen: [\"[::ffff:10.0.0.1]:111\"]",
                "c.yaml:1:10: error: listen: \"::ffff:10.0.0.1\" is an IPv4-mapped address; write 10.0.0.1"),
            Refused("listen: []", "c.yaml:1:9: error: listen: the list is empty; leave the key out for the default"),
            Refused("listen: {a: b}", "c.yaml:1:9: error: listen: expected a list, found a mapping"),
            Refused(
                "listen: [10.0.0.1:111, 10.0.0.1:111]", "c.yaml:1:24: error: listen: \"10.0.0.1:111\" is listed twice"),
            Refused(
                "rpcbind: {socket: run/rpcbind.sock}",
                "c.yaml:1:19: error: socket: \"run/rpcbind.sock\" is not an absolute path; begin it with /"),
            Refused(
                "control: /" + String(repeating: "x", count: 107),
                "c.yaml:1:10: error: control: a socket's path takes at most 107 bytes, this one has 108"),
            Refused(
                "rpcbind: {owners: [a b]}",
                "c.yaml:1:20: error: owners: \"a b\" is not a user name; write a name of passwd(5), or a uid in decimal"
            ),
            Refused(
                "rpcbind: {owners: [statd, null]}",
                "c.yaml:1:27: error: owners: expected a value, found nothing; leave the item out, or write it in quotes"
            ),
            Refused(
                "rpcbind: {owners: [4294967296]}",
                "c.yaml:1:20: error: owners: \"4294967296\" is not a uid; write 0 to 4294967295"),
            Refused(
                "rpcbind: {owners: []}",
                "c.yaml:1:19: error: owners: the list is empty; leave the key out for the default"),
            Refused(
                "firewall: {table: 9x}",
                "c.yaml:1:19: error: table: \"9x\" is not a table name; use letters, digits, _ and -, a letter first, at"
                    + " most 64"
            ),
            Refused("firewall: {never: [22, 0]}", "c.yaml:1:24: error: never: 0 is out of range; use 1 to 65535"),
            Refused(
                "firewall: {guard-ports: [2049]}",
                "c.yaml:1:26: error: guard-ports: \"2049\" is not a port range; write tcp/2049 or udp/32765-32768"),
            Refused(
                "firewall: {guard-ports: [sctp/1]}",
                "c.yaml:1:26: error: guard-ports: expected tcp or udp, found \"sctp\""),
            Refused(
                "firewall: {guard-ports: [tcp/1-]}",
                "c.yaml:1:26: error: guard-ports: \"tcp/1-\" is not a port range; write tcp/2049 or udp/32765-32768"),
            Refused(
                "firewall: {guard-ports: [udp/20-10]}",
                "c.yaml:1:26: error: guard-ports: \"udp/20-10\" runs backwards; write udp/10-20"),
            Refused(
                "audit: {to: file, file: log}",
                "c.yaml:1:25: error: file: \"log\" is not an absolute path; begin it with /"
            ),
            Refused(
                "metrics: 9811",
                "c.yaml:1:10: error: metrics: \"9811\" has no port; write the port after a colon, such as 127.0.0.1:9811"
            ),
        ])
    func addresses(_ refused: Refused) {
        #expect(configuration(refused.text).diagnostics.texts == refused.diagnostics)
    }

    @Test(
        "what is wrong only together",
        arguments: [
            Refused(
                "listen: [0.0.0.0:111, 10.0.0.1:111]",
                "c.yaml:1:23: error: listen: 10.0.0.1:111 and 0.0.0.0:111 can't both be bound; leave one of them out"),
            Refused(
                "metrics: 127.0.0.1:111",
                "c.yaml:1:10: error: metrics: 127.0.0.1:111 is taken by 0.0.0.0:111; choose another port"),
            Refused(
                "firewall: {guard-ports: [tcp/2049, tcp/1-1023]}",
                "c.yaml:1:36: error: guard-ports: tcp/1-1023 contains port 22, and \"never\" excludes it from the guard;"
                    + " remove 22 from one of the two"
            ),
            Refused(
                "audit: {to: file}",
                "c.yaml:1:13: error: audit: \"to: file\" needs a file; add \"file: /var/log/rpcwarden/audit.jsonl\""),
            Refused(
                "audit: {file: /var/log/x}",
                "c.yaml:1:15: warning: audit: the file is not written while \"to\" is journal; write \"to: file\""),
            Refused(
                "limits: {grants: 10}",
                "c.yaml:1:18: warning: limits: grants-per-client (64) is more than grants (10): one client can take all"
            ),
            Refused(
                "limits: {grants: 1000}\nfleet: {pair: {name: nas, grants: 501}}",
                "c.yaml:2:35: warning: pair: grants (501) is more than half of limits.grants (1000): grants of other"
                    + " nodes take 500 at most; raise limits.grants"),
            Refused("limits: {grants: 1000}\nfleet: {pair: {name: nas}}"),
            Refused(
                "limits: {tcp-connections-per-client: 2000}",
                "c.yaml:1:38: warning: limits: tcp-connections-per-client (2000) is more than tcp-connections (1024):"
                    + " one client can take all"
            ),
        ])
    func contradictions(_ refused: Refused) {
        #expect(configuration(refused.text).diagnostics.texts == refused.diagnostics)
    }

    @Test("refuses a list of more than 1024 items")
    func longList() {
        let ports = (1...1025).map(String.init).joined(separator: ",")
        #expect(
            configuration("firewall: {never: [\(ports)]}").diagnostics.texts == [
                "c.yaml:1:19: error: never: more than 1024 items in one list"
            ])
    }

    @Test("tells of all mistakes, in the order of their places")
    func all() {
        let text = """
            limits:
              tcp-idle: 30
            modes: observe
            metrics: localhost:1
            audit: {to: file}
            """
        #expect(
            configuration(text).diagnostics.texts == [
                "c.yaml:2:13: error: tcp-idle: \"30\" has no unit; write 30s for seconds",
                "c.yaml:3:1: error: unknown key \"modes\"; did you mean \"mode\"?",
                "c.yaml:4:10: error: metrics: \"localhost\" is not an address; write an IPv4 or IPv6 address",
                "c.yaml:5:13: error: audit: \"to: file\" needs a file; add \"file: /var/log/rpcwarden/audit.jsonl\"",
            ])
    }
}
