import Foundation
import Testing

extension LabTests {
    @Suite("Drafts of policies")
    struct DraftTests {
        /// Commands of real clients, and text that their output must contain.
        private static let calls: [(Lab.Host, [String], String)] = [
            (.approved, ["showmount", "-e", "10.77.1.1"], "/export"),
            (.approved, ["nfs-ls", "nfs://10.77.1.1/export"], "hello.txt"),
            (.approved, ["rpcinfo", "-p", "10.77.1.1"], "100005"),
            (.approved, ["rpcinfo", "-T", "udp6", "fd77:1::1", "nfs", "3"], "ready and waiting"),
            (.stranger, ["rpcinfo", "-T", "tcp", "10.77.4.1", "mountd", "3"], "ready and waiting"),
            (.stranger, ["rpcinfo", "-l", "10.77.4.1", "mountd", "3"], "10.77.4.1."),
        ]

        /// The audit log's line for a lookup that observe mode let pass.
        private static func line(_ day: Int, _ client: String) -> String {
            """
            {"ts":"2026-11-\(day)T10:00:00.123Z","event":"denied","client":"\(client)","port":700,"transport":"tcp",\
            "program":100005,"version":3,"procedure":"getport","over":"tcp","reason":"stranger","enforced":false}

            """
        }

        private func callAll(_ lab: Lab) throws {
            for (host, command, expected) in Self.calls {
                let output = try lab.exec(host, command, seconds: 10)
                #expect(output.isSuccess && output.text.contains(expected), "\(command): \(output)")
            }
        }

        @Test(
            "what was learned in observe mode permits the same in enforce, and not one program or client more",
            .lab(.rpcbind, .ganesha, .daemon, settings: "mode: observe", policy: "rules: []"))
        func learn() async throws {
            let lab = try Lab.current
            try callAll(lab)
            try await lab.event(.denied) { $0.client == "10.77.4.2" && $0.procedure == "getaddrlist" }
            let draft = try lab.rpcwarden("learn")
            #expect(draft.isSuccess && draft.text.contains("10.77.1.2"), "\(draft)")
            try lab.kill("daemon")
            // The file must keep the daemon's user as its owner.
            #expect(try lab.exec(.server, "truncate", "--size=0", "\(lab.state)/audit.jsonl").isSuccess)

            try await lab.serve(policy: draft.text)
            #expect(try lab.rpcwarden("check").isSuccess)
            try callAll(lab)
            #expect(try lab.events(.denied).isEmpty, "\(draft)")

            let beyond: [(Lab.Host, [String], String)] = [
                (.approved, ["rpcinfo", "-T", "tcp", "10.77.1.1", "nlockmgr", "4"], "no-rule"),
                (.approved, ["rpcinfo", "-T", "udp", "10.77.1.1", "mountd", "3"], "transport"),
                (.stranger, ["rpcinfo", "-T", "tcp", "10.77.4.1", "nfs", "3"], "no-rule"),
                (.limited, ["rpcinfo", "-T", "tcp", "10.77.3.1", "mountd", "3"], "stranger"),
            ]
            for (host, command, reason) in beyond {
                let output = try lab.exec(host, command, seconds: 3)
                #expect(!output.isSuccess, "\(command): \(output)")
                let client = ["approved": "10.77.1.2", "stranger": "10.77.4.2"][host.rawValue] ?? "10.77.3.2"
                try await lab.event(.denied) { $0.reason == reason && $0.client == client }
            }
            let other = try lab.exec(.approved, "showmount", "-e", "10.77.2.1", seconds: 3)
            #expect(!other.isSuccess, "another address of the same client: \(other)")
        }

        @Test("learn reads rotated and compressed logs, stdin and the journal, as far back as asked", .lab())
        func sources() throws {
            let lab = try Lab.current
            try lab.configure(policy: "rules: []")
            let line = Self.line
            try lab.write(line(13, "10.0.0.3") + "garbage\n{\"ts\":1}\n", to: "audit.jsonl")
            try lab.write(line(12, "10.0.0.2"), to: "audit.jsonl.1")
            try lab.write(line(11, "10.0.0.1"), to: "audit.jsonl.2")
            _ = try lab.exec(.server, "gzip", "\(lab.state)/audit.jsonl.2")
            try lab.write(line(10, "10.0.0.9"), to: "audit.jsonl.bak")
            let all = try lab.rpcwarden("learn")
            #expect(all.text.contains("from: [10.0.0.1, 10.0.0.2, 10.0.0.3]"), "\(all)")
            #expect(all.errors.contains("2 lines are not audit events"), "\(all)")
            let late = try lab.rpcwarden("learn", "--since", "2026-11-12T00:00:00Z")
            #expect(late.text.contains("from: [10.0.0.2, 10.0.0.3]"), "\(late)")
            let wide = try lab.rpcwarden("learn", "--aggregate", "/24")
            #expect(wide.text.contains("from: [10.0.0.0/30]"), "\(wide)")
            let one = try lab.rpcwarden("learn", "--file", "\(lab.state)/audit.jsonl.bak")
            #expect(one.text.contains("from: [10.0.0.9]"), "\(one)")
            let stdin = try lab.exec(
                .server, "sh", "-c",
                "\(lab.binary) learn --file - --config \(lab.configuration) <\(lab.state)/audit.jsonl.bak")
            #expect(stdin.text == one.text, "\(stdin)")
        }

        @Test("learn asks journalctl for the unit's own entries", .lab())
        func journal() throws {
            let lab = try Lab.current
            try lab.write("audit: {to: journal}\npolicy: policy.yaml\n", to: "rpcwarden.yaml")
            try lab.write(
                #"""
                #!/bin/sh
                echo "$@" >"$0.asked"
                echo '{"__REALTIME_TIMESTAMP":"1794823203000000","RPCWARDEN_EVENT":"denied","RPCWARDEN_CLIENT":"10.0.0.5","RPCWARDEN_TRANSPORT":"tcp","RPCWARDEN_PROGRAM":"100005","RPCWARDEN_PROCEDURE":"getport","RPCWARDEN_OVER":"tcp","RPCWARDEN_REASON":"stranger","RPCWARDEN_ENFORCED":"false","MESSAGE":[1,2]}'
                echo '{"__REALTIME_TIMESTAMP":"1794823203000000","MESSAGE":"Started rpcwarden."}'

                """#, to: "journalctl")
            _ = try lab.exec(.server, "chmod", "755", "\(lab.state)/journalctl")
            let run = "PATH=\(lab.state):$PATH exec \(lab.binary) learn --since 2026-11-01T00:00:00Z"
            let output = try lab.exec(.server, "sh", "-c", "\(run) --config \(lab.configuration)")
            #expect(output.isSuccess && output.text.contains("from: [10.0.0.5]"), "\(output)")
            let asked = try lab.exec(.server, "cat", "\(lab.state)/journalctl.asked").text
            #expect(asked.contains("_SYSTEMD_UNIT=rpcwarden.service") && asked.contains("--since=@"), "\(asked)")
        }

        @Test("learn without anything to learn, or with what it can't read, ends with 2 and prints no policy", .lab())
        func nothing() throws {
            let lab = try Lab.current
            try lab.configure(policy: "rules: []")
            let log = "\(lab.state)/audit.jsonl"
            let failures: [([String], String)] = [
                ([], "can't read the audit log: \"\(log)\""), (["--file", "/nowhere"], "/nowhere"),
                (["--since", "yesterday"], "yesterday"), (["--aggregate", "/33"], "/33"),
                (["--aggregate", "/0"], "/0"), (["--aggregate-ipv6", "x"], "\"x\""),
            ]
            for (words, expected) in failures {
                let output = try lab.exec(.server, [lab.binary, "learn", "--config", lab.configuration] + words)
                #expect(output.status == 2 && output.text.isEmpty, "\(words): \(output)")
                #expect(output.errors.hasPrefix("rpcwarden: ") && output.errors.contains(expected), "\(output)")
            }
            try lab.write("", to: "audit.jsonl")
            let empty = try lab.rpcwarden("learn")
            #expect(empty.status == 2 && empty.text.isEmpty && empty.errors.contains("nothing to learn"), "\(empty)")
            // An incomplete log must not be taken for a complete one.
            try lab.write(Self.line(13, "10.0.0.3"), to: "audit.jsonl")
            #expect(try lab.rpcwarden("learn").isSuccess)
            try lab.write("not gzip", to: "audit.jsonl.1.gz")
            let torn = try lab.rpcwarden("learn")
            #expect(torn.status == 2 && torn.text.isEmpty && torn.errors.contains("audit.jsonl.1.gz"), "\(torn)")
        }

        @Test(
            "import-exports lets in whom a nasty exports file names, and nobody else",
            .lab(.rpcbind, .ganesha))
        func importExports() async throws {
            let lab = try Lab.current
            try lab.write(
                """
                # the approved client's network \\
                /comment 10.77.4.2(rw)
                "/ex\\160ort" -ro,sync 10.77.1.9/24 \\
                    fd77:1::/64(rw) # 10.77.4.2
                /wild *.example.com(rw) @group(rw) 10.77.3.0/255.0.255.0(rw)
                /space 10.77.2.2 (rw)
                /bad 10.77.3.2(rw, sync) 10.77.4.2(rw)

                """, to: "exports")
            let draft = try lab.rpcwarden("import-exports", "\(lab.state)/exports")
            #expect(draft.status == 2, "\(draft)")
            for place in ["3: /export", "5: /wild", "6: /space"] {
                #expect(draft.errors.contains("rpcwarden: warning: \(lab.state)/exports:\(place)"), "\(draft)")
            }
            #expect(
                draft.errors.contains("\(lab.state)/exports:7:6: error: \"10.77.3.2(rw,\" doesn't end in"), "\(draft)")
            try await lab.serve(policy: draft.text)
            let check = try lab.rpcwarden("check")
            #expect(check.isSuccess && check.text.hasPrefix("no problems"), "\(check)")
            for server in ["10.77.1.1", "10.77.2.1"] {
                let listing = try lab.exec(.approved, "nfs-ls", "nfs://\(server)/export", seconds: 10)
                #expect(listing.isSuccess && listing.text.contains("hello.txt"), "\(listing)")
            }
            // nfs is open without a lookup.
            let port = try lab.port(of: 100_003, 3, "tcp")
            let standing = try lab.peer(.approved, "connect --to 10.77.1.1 --port \(port) --over tcp --wait 1000")
            #expect(standing.lines == ["connected"], "\(standing)")
            for (host, server) in [(Lab.Host.limited, "10.77.3.1"), (.stranger, "10.77.4.1")] {
                #expect(!(try lab.exec(host, "nfs-ls", "nfs://\(server)/export", seconds: 2).isSuccess))
                let outcome = try lab.peer(host, "connect --to \(server) --port \(port) --over tcp --wait 400")
                #expect(outcome.lines == ["timeout"], "\(host): \(outcome)")
            }
        }

        @Test("import-exports of a file that can't be read to its end: no policy, an error at its place, and 2", .lab())
        func unreadable() throws {
            let lab = try Lab.current
            let path = "\(lab.state)/exports"
            try lab.write("/a 10.0.0.1(rw)\n\"/never\n/ends 10.0.0.2(rw)\n", to: "exports")
            let draft = try lab.exec(.server, lab.binary, "import-exports", path)
            #expect(draft.status == 2 && draft.text.isEmpty, "\(draft)")
            #expect(draft.errors.hasPrefix("\(path):2:1: error: an unterminated quote"), "\(draft)")
            #expect(draft.errors.contains("rpcwarden: no draft: \(path) can't be parsed to the end"), "\(draft)")
        }

        @Test("import-exports reads folders of *.exports, and ends with 2 where there is nothing to read", .lab())
        func folders() throws {
            let lab = try Lab.current
            let folder = "\(lab.state)/exports.d"
            _ = try lab.exec(.server, "mkdir", folder)
            try lab.write("/b 10.0.0.2(rw)\n", to: "exports.d/b.exports")
            try lab.write("/a 10.0.0.1(rw)\n", to: "exports.d/a.exports")
            try lab.write("/c 10.0.0.3(rw)\n", to: "exports.d/c.exports.bak")
            try lab.write("/d 10.0.0.4(rw)\n", to: "exports.d/.d.exports")
            try lab.write("/e 10.0.0.5(rw)\n", to: "exports")
            let draft = try lab.exec(.server, lab.binary, "import-exports", "\(lab.state)/exports", folder)
            let clients = draft.lines.filter { $0.hasPrefix("    - ") }.map { $0.split(separator: " ")[1] }
            #expect(clients == ["10.0.0.5", "10.0.0.1", "10.0.0.2"], "\(draft)")
            // The server has the host's /etc; a missing file is reported, whatever /etc contains.
            let missing = try lab.exec(.server, lab.binary, "import-exports", "/nowhere/exports")
            #expect(missing.status == 2 && missing.text.isEmpty, "\(missing)")
            #expect(
                missing.errors.contains("rpcwarden: can't read exports: \"/nowhere/exports\": No such"), "\(missing)")
        }
    }
}
