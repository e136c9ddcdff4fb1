import Foundation
import Portmapper
import Testing

extension LabTests {
    @Suite("Commands", .lab(.rpcbind, .ganesha, .daemon))
    struct CommandTests {
        let lab: Lab

        init() throws { lab = try Lab.current }

        @Test("without a daemon, those that ask one end with 3", .lab(.rpcbind))
        func unreachable() throws {
            let lab = try Lab.current
            try lab.configure(policy: Policies.standard)
            for command in ["status", "grants", "registry", "denials", "reload", "stop"] {
                let output = try lab.rpcwarden(command)
                #expect(output.status == 3 && output.text.isEmpty, "\(command): \(output)")
                #expect(output.errors.contains("/run/rpcwarden/control.sock"), "\(output)")
            }
        }

        @Test("read the configuration alone: a policy that never ends keeps no operator waiting")
        func configurationAlone() throws {
            try lab.write("policy: \(lab.state)/never.yaml\n", to: "other.yaml")
            #expect(try lab.exec(.server, "mkfifo", "\(lab.state)/never.yaml").isSuccess)
            for command in ["status", "grants", "registry", "denials", "doctor"] {
                let words = [lab.binary, command, "--json", "--config", "\(lab.state)/other.yaml"]
                let output = try lab.exec(.server, words, seconds: 10)
                #expect(
                    (0...1).contains(output.status) && output.text.hasPrefix(command == "status" ? "{" : "["),
                    "\(output)")
            }
        }

        @Test("wrong usage ends with 2, help and version with 0")
        func usage() throws {
            for words in [["nonsense"], ["status", "--nonsense"], ["explain"], ["revoke"], ["revoke", "--client"]] {
                #expect(try lab.exec(.server, [lab.binary] + words).status == 2, "\(words)")
            }
            for command in [
                "serve", "check", "explain", "status", "grants", "registry", "denials", "revoke", "release", "reload",
                "stop", "doctor", "setup", "learn", "import-exports", "top", "probe",
            ] {
                let help = try lab.exec(.server, lab.binary, command, "--help")
                #expect(help.isSuccess && help.text.contains("--config"), "\(command): \(help)")
            }
            #expect(try lab.exec(.server, lab.binary, "--version").isSuccess)
        }

        @Test("the control socket is for root and its group: mode 0660, and another user is refused whatever the mode")
        func controlSocket() throws {
            let mode = try lab.exec(.server, "stat", "-c", "%a %U", "/run/rpcwarden/control.sock")
            #expect(["660 nobody\n", "660 rpcwarden\n"].contains(mode.text))
            func asUser(_ number: Int, _ words: String...) throws -> Output {
                let user = ["setpriv", "--reuid", "\(number)", "--regid", "\(number)", "--clear-groups", lab.binary]
                return try lab.exec(.server, user + words + ["--config", lab.configuration])
            }
            let outside = try asUser(65_533, "status")
            #expect(outside.status == 3 && outside.errors.contains("Permission denied"), "\(outside)")

            if mode.text.hasSuffix("rpcwarden\n") {
                let group = try lab.exec(.server, "stat", "-c", "%g", "/run/rpcwarden/control.sock").text.dropLast()
                let member = ["setpriv", "--reuid", "65533", "--regid", "65533", "--groups", String(group), lab.binary]
                let inside = try lab.exec(.server, member + ["status", "--config", lab.configuration])
                #expect(inside.isSuccess, "\(inside)")
            }

            _ = try lab.exec(.server, "chmod", "0666", "/run/rpcwarden/control.sock")
            // If the daemon runs as nobody, other daemons may run as that user too.
            for user in [65_533, 65_534] {
                let inside = try asUser(user, "grants", "--json")
                #expect(!inside.isSuccess && inside.text.isEmpty, "\(inside)")
                #expect(inside.errors.contains("uid \(user) may not control the daemon"), "\(inside)")
            }
            _ = try lab.exec(.server, "chmod", "0660", "/run/rpcwarden/control.sock")
        }

        @Test("status shows the keys of the contract, and counts")
        func status() throws {
            _ = try lab.exec(.approved, "showmount", "-e", "10.77.1.1")
            let output = try lab.rpcwarden("status", "--json")
            let object = try #require(try JSONSerialization.jsonObject(with: Data(output.text.utf8)) as? [String: Any])
            #expect(
                Set(object.keys).isSuperset(of: ["mode", "uptime", "version", "rpcbind", "table", "policy", "counts"]))
            let status = try lab.listing("status", as: StatusReport.self)
            #expect(status.mode == "enforce" && status.rpcbind.reachable && status.table.intact)
            #expect((status.counts["calls"] ?? 0) > 0 && (status.counts["granted"] ?? 0) > 0)
            let lines = try lab.rpcwarden("status").lines
            #expect(lines[0].hasPrefix("rpcwarden \(status.version) enforces its policy since 20"), "\(lines)")
            #expect(lines[1] == "Nothing is wrong." && lines.count == 6, "\(lines)")
            let figures = try lab.rpcwarden("status", "--verbose").text
            #expect(figures.contains(/\ngranted +[1-9]/) && figures.contains(/\npermitted +[1-9]/), "\(figures)")
        }

        @Test("a table that is too wide for the terminal is folded between its columns", .enabled(if: Tmux.isInstalled))
        func folded() async throws {
            _ = try lab.ask(
                .limited, .getPort(Mapping(program: .nfs, version: 3, protocolNumber: 6, port: 0)), to: "10.77.3.1",
                over: .tcp)
            try await lab.event(.denied) { $0.client == "10.77.3.2" }
            let tmux = try await Tmux(lab)
            defer { tmux.kill() }
            try tmux.type("\(lab.binary) denials --config \(lab.configuration)")
            let lines = try await tmux.shows("  REASONS  PROGRAMS")
            let heading = try #require(lines.firstIndex { $0.hasPrefix("CLIENT ") })
            #expect(lines[heading].hasSuffix("QUARANTINED") && lines[heading + 1] == "  REASONS  PROGRAMS", "\(lines)")
            #expect(lines[heading + 2].hasSuffix("Z  no") && lines[heading + 3] == "  no-rule  nfs", "\(lines)")
        }

        @Test("registry shows what rpcbind has, each mapping trusted, alive and guarded")
        func registry() throws {
            let output = try lab.rpcwarden("registry", "--json")
            let rows = try #require(try JSONSerialization.jsonObject(with: Data(output.text.utf8)) as? [[String: Any]])
            let keys: Set = [
                "program", "program_name", "version", "netid", "address", "owner", "trusted", "alive", "guarded",
                "orphaned", "guardable",
            ]
            let whole = rows.allSatisfy { Set($0.keys).subtracting(["shares_port_with"]) == keys }
            #expect(!rows.isEmpty && whole, "\(rows.first ?? [:])")
            let real = try lab.registeredServices().map { $0[..<4].joined(separator: " ") }
            let shown = try lab.registry().map { "\($0.program) \($0.version) \($0.netid) \($0.address)" }
            #expect(Set(shown) == Set(real))
            let services = try lab.registry().filter { $0.program != 100_000 }
            #expect(services.allSatisfy { $0.trusted && $0.alive && $0.guarded && $0.owner == "superuser" })
            #expect(try lab.rpcwarden("registry").text.contains("mountd (100005)"))
        }

        @Test("check names the place of each mistake and ends with 2; warnings end with 0")
        func check() throws {
            try lab.write("rules:\n  - name: a\n    from: [10.0.0.1]\n    to: [mountdd]\n", to: "wrong.yaml")
            let wrong = try lab.rpcwarden("check", "\(lab.state)/wrong.yaml")
            #expect(wrong.status == 2, "\(wrong)")
            #expect(
                wrong.text.contains("wrong.yaml:4:10: error: ") && wrong.text.contains("did you mean \"mountd\""),
                "\(wrong)")
            try lab.write("rules:\n  - name: a\n    from: [10.0.0.1]\n    to: [nfs, mountd]\n", to: "warned.yaml")
            let warned = try lab.rpcwarden("check", "\(lab.state)/warned.yaml")
            #expect(warned.isSuccess && warned.text.contains("warning: "), "\(warned)")
            #expect(try lab.rpcwarden("check").isSuccess)
            #expect(try lab.rpcwarden("check", "/nowhere.yaml").status == 2)
        }

        @Test(
            "explain decides as the daemon does, and names the rule",
            arguments: [
                ("10.77.1.2", "mountd", "tcp", "getport", "policy.yaml:7 \"approved clients mount\""),
                ("fd77:1::2", "100003", "udp", "getport", "policy.yaml:7 \"approved clients mount\""),
                ("10.77.1.2", "nfs", "tcp", "dump", "approved clients mount"),
                ("10.77.3.2", "rquotad", "udp", "getport", "the limited client asks for quotas"),
                ("10.77.3.2", "mountd", "tcp", "getport", nil),
                ("10.77.4.2", "mountd", "tcp", "getport", nil),
                ("10.77.4.2", "mountd", "tcp", "dump", nil),
                // The caller's address is none of the server's own.
                ("10.0.0.1", "mountd", "tcp", "getport", nil),
                ("fd00::1", "mountd", "tcp", "getport", nil),
            ] as [(String, String, String, String, String?)])
        func explain(client: String, program: String, transport: String, procedure: String, rule: String?) throws {
            let output = try lab.rpcwarden(
                "explain", "--client", client, "--program", program, "--transport", transport, "--procedure", procedure)
            #expect(output.status == (rule == nil ? 1 : 0), "\(output)")
            #expect(output.text.contains(rule ?? "denied"), "\(output)")
        }

        @Test("explain refuses what it can't read with 2")
        func explainRefuses() throws {
            for words in [
                ["--client", "nonsense", "--program", "nfs"], ["--client", "10.0.0.1", "--program", "nonsense"],
                ["--client", "10.0.0.1", "--program", "nfs", "--transport", "sctp"], ["--client", "10.0.0.1"],
            ] {
                let output = try lab.exec(.server, [lab.binary, "explain"] + words + ["--config", lab.configuration])
                #expect(output.status == 2 && output.text.isEmpty, "\(words): \(output)")
            }
        }
    }
}
