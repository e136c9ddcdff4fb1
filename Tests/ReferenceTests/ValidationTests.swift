import Foundation
import Testing

@testable import PolicyFile

/// The verdicts of a real validator: the reason why a document is refused, or `nil`.
private func verdicts(_ format: FileFormat, _ documents: [String]) throws -> [String?] {
    let request: [String: Any] = [
        "schema": Repository.root.appendingPathComponent("schema/\(format.schema)").path, "documents": documents,
    ]
    let script = Repository.root.appendingPathComponent("Tests/ReferenceTests/validate.py").path
    let input = String(decoding: try JSONSerialization.data(withJSONObject: request), as: UTF8.self)
    let output = try run(["python3", script], input: input)
    try #require(output.status == 0, "\(output)")
    let verdicts = try JSONDecoder().decode([String?].self, from: Data(output.text.utf8))
    try #require(verdicts.count == documents.count)
    return verdicts
}

@Suite("JSON Schemas, validated by python3-jsonschema", .enabled(if: areToolsWanted, "needs RPCWARDEN_LAB=1"))
struct ValidationTests {
    @Test("take every sample, and every example of the manual", arguments: FileFormat.allCases)
    func samples(_ format: FileFormat) throws {
        let names = try Repository.names(in: "policy").filter {
            format != .sidecar && ($0 == "rpcwarden.yaml") == (format == .configuration)
        }
        let documents =
            try names.map { try Repository.text("policy/\($0)") }
            + Manual.displays(in: try Manual(format.page).section("EXAMPLES"))
        #expect(documents.count >= 3)
        for (document, verdict) in zip(documents, try verdicts(format, documents)) {
            #expect(verdict == nil, "\(document)")
        }
    }

    @Test("refuse what the program refuses for its structure", arguments: FileFormat.allCases)
    func faulty(_ format: FileFormat) throws {
        let documents =
            switch format {
            case .configuration: Faulty.configurations + Faulty.gateways
            case .policy: Faulty.policies
            case .sidecar: Faulty.sidecars
            }
        for (document, verdict) in zip(documents, try verdicts(format, documents)) {
            #expect(format.diagnostics(document).hasErrors, "the program takes it:\n\(document)")
            #expect(verdict != nil, "the schema takes it:\n\(document)")
        }
    }

    /// Every key with every value of a pool: the schema accepts every value that the program accepts. The program
    /// accepts every value that the schema accepts, except for values that no schema can check, or that
    /// rpcwarden's schema leaves to the program.
    @Test("agree with the program on each key's values", arguments: FileFormat.allCases)
    func agreement(_ format: FileFormat) throws {
        let keys = format.keys().filter { format != .policy || !FileFormat.groups.contains($0) }
        let cases = keys.flatMap { key in
            Pool.values(for: key, of: format).map { (key, $0, format.document(key, $0)) }
        }
        let verdicts = try verdicts(format, cases.map(\.2))
        var disagreements: [String] = []
        for ((key, value, document), verdict) in zip(cases, verdicts) {
            let errors = format.diagnostics(document).filter { $0.severity == .error }
            if errors.isEmpty, let verdict, !Pool.isOddName(key, value) {
                disagreements.append("refused by the schema only: \(key): \(value): \(verdict)")
            } else if let error = errors.first, verdict == nil, !Pool.isLeftToTheProgram(key, error.message, value) {
                disagreements.append("refused by the program only: \(key): \(value): \(error.message)")
            }
        }
        #expect(disagreements == [], "of \(cases.count)")
    }
}

/// In addition to the tables of PolicyFileTests: documents whose structure is wrong, whatever their words mean.
private enum Faulty {
    static let configurations = [
        "mod: enforce", "rpcbind: {tiemout: 1s}", "denial: {x: 1}", "rules: []", "- mode", "mode", "limits: 50",
        "mode: enforced", "mode: Enforce", "mode: [observe]", "firewall: {manage: set}", "denial: {refuse: silent}",
        "denial: {strangers: drop}", "quarantine: off", "quarantine: [1]", "quarantine: {strangers: true}",
        "limits: {udp-list: 1}", "policy: \"\"", "policy: \"a\\0b\"", "firewall: {keep: 30}", "firewall: {keep: soon}",
        "firewall: {keep: 1h30m}", "firewall: {keep: 1.5h}", "firewall: {keep: 1w}", "firewall: {keep: -1s}",
        "firewall: {keep: 0}", "firewall: {keep: 99999999999999999999d}", "limits: {calls-per-second: 0}",
        "limits: {record-bytes: 399}", "limits: {record-bytes: 4K}", "limits: {grants: 99999999999999999999}",
        "firewall: {mark: 0x1ffffffff}", "firewall: {mark: 0x}", "firewall: {ct-mark: 0}",
        "firewall: {own-ct-mark: 0x00}", "listen: 0.0.0.0", "listen: \"::1\"",
        "listen: [10.0.0.1:0]", "listen: [\"10.0.0.1:\"]", "listen: [\"*:111\"]", "listen: [server:111]",
        "listen: [\"[10.0.0.1]:111\"]", "listen: [\"[fe80::1%eth0]:111\"]", "listen: []", "listen: {a: b}",
        "listen: [10.0.0.1:111, 10.0.0.1:111]",
        "rpcbind: {socket: run/rpcbind.sock}", "control: /" + String(repeating: "x", count: 107),
        "rpcbind: {owners: [a b]}", "rpcbind: {owners: [4294967296]}", "rpcbind: {owners: []}", "firewall: {table: 9x}",
        "firewall: {never: [22, 0]}", "firewall: {guard-ports: [2049]}", "firewall: {guard-ports: [sctp/1]}",
        "firewall: {guard-ports: [tcp/1-]}", "audit: {to: file, file: log}", "metrics: 9811", "audit: {to: file}",
        "firewall: {never: [\((1...1025).map(String.init).joined(separator: ","))]}",
    ]

    static let gateways = [
        "gateway: 1", "gateway: false", "gateway: []", "gateway: {server: []}", "gateway: {servers: {}}",
        "gateway: {servers: filer1}", "gateway: {servers: [filer1]}", "gateway: {servers: [null]}",
        "gateway: {servers: [{}]}", "gateway: {servers: [{name: s}]}", "gateway: {servers: [{address: 192.0.2.1}]}",
        gateway("servers.name", ""), gateway("servers.name", "\"\""), gateway("servers.name", "a b"),
        gateway("servers.name", "any-server"), gateway("servers.name", "10.0.0.1"), gateway("servers.name", "[a]"),
        gateway("servers.name", "-a"), gateway("servers.name", String(repeating: "x", count: 65)),
        gateway("servers.name", "a/b"), gateway("servers.address", ""), gateway("servers.address", "[]"),
        gateway("servers.address", "filer1.example"), gateway("servers.address", "10.0.0.0/8"),
        gateway("servers.address", "[10.0.0.1, 10.0.0.1]"), gateway("servers.address", "[\"fe80::1%eth0\"]"),
        gateway("servers.also-known-as", "nat.example"), gateway("servers.alias", "10.0.0.1"),
        gateway("servers.rpcbind", "10.0.0.1:111"), gateway("servers.rpcbind.socket", "/run/rpcbind.sock"),
        gateway("servers.rpcbind.address", "10.0.0.1"), gateway("servers.rpcbind.source", "10.0.0.1:111"),
        gateway("servers.rpcbind.timeout", "1"), gateway("servers.rpcbind.owners", "[]"),
        gateway("servers.liveness", "ping"), gateway("servers.liveness", "true"), gateway("servers.guard", "none"),
        gateway("servers.pass", "[22]"), gateway("servers.close", "[sctp/1]"), gateway("servers.callbacks", "on"),
        gateway("routing", "off"), gateway("tables", "111"), gateway("tables", "[111]"), gateway("tables", "[0, 111]"),
        gateway("tables", "[111, 111]"), gateway("tables", "[111, 254]"), gateway("tables", "[1, 2, 3]"),
        gateway("tables", "[local, 111]"), gateway("marks", "0x20000"), gateway("marks", "[0, 1]"),
        gateway("marks", "[0x1ffffffff, 1]"), gateway("marks", "[1, 2, 4]"), gateway("linger", "10"),
    ]

    private static func gateway(_ key: String, _ value: String) -> String {
        FileFormat.configuration.document("gateway.\(key)", value)
    }

    static let sidecars = [
        "", "fleet: lab", "etcd", "- etcd", "etcd: {}", "etcd: https://a", "etcd: [{endpoints: https://a}]",
        "pair: nas\netcd: {endpoints: https://a}", "rules: []\netcd: {endpoints: https://a}",
        sidecar("fleet", "a/b"), sidecar("fleet", "a b"), sidecar("fleet", "[a]"), sidecar("fleet", "\"\""),
        sidecar("fleet", String(repeating: "x", count: 65)), sidecar("node", "-a"), sidecar("node", "{a: b}"),
        sidecar("socket", "run/x"), sidecar("control", "/" + String(repeating: "x", count: 107)),
        sidecar("state", "x"), sidecar("state", "\"/a\\0b\""), sidecar("state", "[/x]"),
        sidecar("etcd.endpoints", "http://a"), sidecar("etcd.endpoints", "[\"https://a\", \"http://a\"]"),
        sidecar("etcd.endpoints", "a:2379"), sidecar("etcd.endpoints", "https://"), sidecar("etcd.endpoints", "[]"),
        sidecar("etcd.endpoints", "https://a:0"), sidecar("etcd.endpoints", "https://a:x"),
        sidecar("etcd.endpoints", "https://a/v3"), sidecar("etcd.endpoints", "null"),
        sidecar("etcd.endpoints", "[\"https://a\", \"https://a\"]"), sidecar("etcd.endpoints", "{a: b}"),
        sidecar("etcd.endpoints", "[\((0...16).map { "https://a\($0)" }.joined(separator: ", "))]"),
        sidecar("etcd.ca", "ca.pem"), sidecar("etcd.certificate", "c.pem"), sidecar("etcd.key", "[/k]"),
        sidecar("etcd.user", "\"\""), sidecar("etcd.user", "[u]"), sidecar("etcd.user", "{a: b}"),
        sidecar("etcd.user", String(repeating: "x", count: 129)), sidecar("etcd.password-file", "secret"),
        sidecar("etcd.password", "secret"), sidecar("etcd.endpoint", "https://a"),
    ]

    private static func sidecar(_ key: String, _ value: String) -> String { FileFormat.sidecar.document(key, value) }

    static let policies = [
        "ruls: []", "mode: enforce", "[rules]", "nfs", "clients: [a]", "clients: {a b: [10.0.0.1]}",
        "rules: {name: r}", "rules: [mountd]", "rules:\n  - name: r", "rules:\n  - {from: 10.0.0.1, to: nfs}",
        "clients: {a: {b: c}}", "programs: {a: [[nfs]]}",
        rule("list: yes"), rule("list: 7"), rule("open: onlookup"), rule("open: [always]"), rule("over: [tcp, sctp]"),
        rule("over: [tcp, tcp]"), rule("over: []"), rule("form: x"), rule("deny: true"), rule("name: \"\""),
        rule("name:"), rule("name: \"a\\nb\""), rule("name: " + String(repeating: "x", count: 101)), rule("from: []"),
        rule("to:"), rule("to: {mountd: x}"), rule("to: 0"), rule("to: 4294967296"), rule("from: a b"),
        rule("at: a b"), rule("at: []"), rule("at: {filer1: x}"), rule("at: [[filer1]]"), rule("server: filer1"),
        "servers: [filer1]", "servers: {a b: [filer1]}", "servers: {any-server: [filer1]}", "servers: {a: {b: c}}",
    ]

    private static func rule(_ line: String) -> String {
        let parts = line.split(separator: ":", maxSplits: 1)
        return FileFormat.policy.document("rules.\(parts[0])", parts.count == 2 ? String(parts[1]) : "")
    }
}

/// Values that YAML, the schema and the program may interpret differently.
private enum Pool {
    static func values(for key: String, of format: FileFormat) -> [String] {
        var values = common + format.choices(key).flatMap { [$0, "\"\($0)\"", $0.uppercased(), "[\($0)]"] }
        for bound in (format.bounds(key) ?? "").replacing(" to ", with: " ").split(separator: " ") {
            let digits = bound.prefix { $0.isNumber }
            guard let number = Int(digits) else { continue }
            for near in [number - 1, number, number + 1] { values.append("\(near)\(bound.dropFirst(digits.count))") }
        }
        return values
    }

    private static let common = [
        "true", "false", "\"true\"", "True", "yes", "on", "null", "~", "", "\"\"", "\"null\"",
        "0", "1", "7", "22", "\"7\"", "\"007\"", "007", "0x10", "\"0x10\"", "+5", "-1", "1.5", "1e3", "1_000",
        "65535", "65536", "4294967295", "4294967296", "99999999999999999999",
        "1s", "\"1s\"", "999ms", "0s", "0d", "00", "1d", "30s", "1h30m", "1.5h", "1w", "5M", "1000000000s",
        "abc", "\"a b\"", "a:b", "\"a\\tb\"", "_x", "-x", "9x", "nobody", "a.example.com", "*x", "\"*\"", "\"@ng\"",
        "/x", "x/y", "/" + String(repeating: "x", count: 106), "/" + String(repeating: "x", count: 107),
        "10.0.0.1", "10.0.0.0/8", "10.0.0.1/8", "\"::/0\"", "\"2001:db8::/32\"", "10.0.0.1:111", "127.0.0.1:9",
        "127.0.0.1:09", "127.0.0.1:0", "127.0.0.1:65536", "\"[::1]:111\"", "\"[::1]:\"", "\"[0:0:0:0:0:0:0:1]:9\"",
        "\"[::ffff:127.0.0.1]:9\"", "\"[10.0.0.1]:9\"", "\"[fe80::1%lo]:9\"", "\"::1:9\"", "localhost:9", "\"*:9\"",
        "tcp/2049", "udp/20-10", "udp/10-20", "tcp/0", "tcp/1-65536", "sctp/1", "TCP/1", "tcp/", "tcp/1-",
        "nfs", "mountd", "100005", "\"100005\"", "0x186a5", "tcp", "udp",
        "[]", "[1, 1]", "[1, 2]", "[22]", "[null]", "[\"\"]", "[[1]]", "[{a: 1}]", "{}", "{a: 1}", "{1: 2}",
        "[nfs, mountd]", "[tcp, udp]", "[127.0.0.1:9, 127.0.0.2:9]", "[tcp/1, udp/1]", "[a, b]", "[true]",
        "any-server", "[any-server, a]", "[10.0.0.1, 10.0.0.2]", "[10.0.0.1, \"fd00::1\"]", "\"fd00::1\"", "127.0.0.1",
        "224.0.0.1", "0.0.0.0", "10.0.0.256", "\"::ffff:10.0.0.1\"", "[0, 7]", "[254, 7]", "[\"254\", 7]",
        "[4294967295, 7]", "[4294967296, 7]", "[\"0x20000\", \"0x40000\"]", "[0x20000, 0x40000]", "[1, 2, 3]",
        String(repeating: "x", count: 64), String(repeating: "x", count: 65),
        "https://a", "https://a:1/", "https://a:65536", "\"https://[::1]:9\"", "\"https://[::1\"", "https://a:01",
        "[\"https://a\", \"https://b:9\"]", "[\"https://a\", \"https://a:2379\"]", "https://a b", "HTTPS://a",
    ]

    /// A schema can't check the meaning of a word, a number's range within a text, or YAML's notation of a number.
    static func isLeftToTheProgram(_ key: String, _ message: String, _ value: String) -> Bool {
        let meanings = [
            "unknown program", "unknown group", "has bits set", "no prefix length", "is not a client", "is a wildcard",
            "is a netgroup", "is not a host name", "is not an address", "IPv4-mapped", "runs backwards",
            "can't both be bound",
            "rpcbind can't be at", "is not a program number", "is listed twice", "is not a uid", "is taken by",
            "own-ct-mark share", "marks and firewall.mark share", "its two marks share", "can't reach an",
            "excludes it from the guard", "is an address of", "needs \"",
        ]
        if meanings.contains(where: message.contains) { return true }
        // A group may have a name that no server has.
        if key == "rules.at", message.contains("is not a server's name") { return true }
        // Within a text: a duration, a port behind an address, a number in quotes.
        if message.contains("is out of range"), value.contains(where: { !$0.isNumber }) { return true }
        // A YAML number or flag in a notation that the program does not accept.
        return ["True", "TRUE", "FALSE", "007", "00", "0x10", "0x186a5", "+5", "1e3", "[0x20000, 0x40000]"]
            .contains(value)
    }

    /// A user, a table or a server with such a name is more likely a mistake.
    static func isOddName(_ key: String, _ value: String) -> Bool {
        let odd = ["true", "false", "True", "1.5", "-1", "[null]", "[true]"]
        switch key {
        case "rpcbind.owners", "gateway.servers.rpcbind.owners", "firewall.table": return odd.contains(value)
        case "rules.at": return value == "[null]"
        case "gateway.servers.name": return value == "10.0.0.256"
        default: return false
        }
    }
}
