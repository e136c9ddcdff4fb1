import Foundation
import Testing

extension LabTests {
    @Suite("Before names have answers, and before there is a daemon")
    struct BootTests {
        private static let dead = (1...12).map { "host\($0).dead.example" }

        private static func policy(_ clients: [String]) -> String {
            "rules: [{name: echoes, from: [\(clients.joined(separator: ", "))], to: [\(Echo.programs[0])]}]"
        }

        /// Writes in place, because the file is a mount.
        private static func writeHosts(_ lab: Lab, _ lines: String) throws {
            let isNew = !FileManager.default.fileExists(atPath: "\(lab.state)/hosts")
            try "127.0.0.1 localhost\n\(lines)\n".write(
                toFile: "\(lab.state)/hosts", atomically: false, encoding: .utf8)
            guard isNew else { return }
            #expect(try lab.exec(.server, ["mount", "--bind", "\(lab.state)/hosts", "/etc/hosts"]).isSuccess)
        }

        @Test(
            "a dozen names that nobody answers for delay neither the guard, nor readiness, nor a reload", .lab(.rpcbind)
        )
        func deadNames() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try await lab.silenceNames(timeout: 30)
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "connected")
            let clock = ContinuousClock()
            let start = try await clock.measure { try await lab.serve(policy: Self.policy(Self.dead + ["10.77.1.2"])) }
            #expect(start < .seconds(20), "\(start)")
            #expect(try lab.elements(of: "guarded").contains("tcp . 4001"))
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "timeout")
            #expect(try lab.lookUp(echo).result(of: echo.getPort) == .port(4001))

            let others = (1...12).map { "other\($0).dead.example" }
            try lab.configure(policy: Self.policy(Self.dead + others + ["10.77.1.3"]))
            var output: Output?
            let reload = try clock.measure { output = try lab.rpcwarden("reload") }
            #expect(reload < .seconds(20), "two of which it waits for names: \(reload)")
            let text = try #require(output).text
            #expect(text.contains("not resolved yet: host1.dead.example, ") && text.contains(" and 8 more"), "\(text)")
            #expect(try lab.lookUp(echo, options: "--from 10.77.1.3").result(of: echo.getPort) == .port(4001))
            #expect(try lab.lookUp(echo, options: "--wait 300").isSilence)
            #expect(try lab.connect(echo, options: "--from 10.77.1.2 --wait 300") == "timeout", "its grant went")
        }

        @Test("a reload resolves the names that it knows anew", .lab(.rpcbind))
        func resolvedAnew() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try Self.writeHosts(lab, "10.77.1.2 ws1.lab.example")
            try await lab.serve(policy: Self.policy(["ws1.lab.example"]))
            try await lab.start(echo)
            #expect(try lab.lookUp(echo).result(of: echo.getPort) == .port(4001))
            try Self.writeHosts(lab, "10.77.1.3 ws1.lab.example")
            #expect(try lab.rpcwarden("reload").text == "nothing changed\n")
            #expect(try lab.lookUp(echo, options: "--from 10.77.1.3").result(of: echo.getPort) == .port(4001))
            #expect(try lab.lookUp(echo, options: "--wait 300").isSilence)
            try await lab.event(.revoked) { $0.client == "10.77.1.2" }
        }

        @Test(
            "what was open to a named host stays open while its name has no answer, and is judged when it has one",
            .lab(.rpcbind))
        func adopted() async throws {
            let lab = try Lab.current
            let (echo, standing) = (Echo(), Echo(program: Echo.programs[1], port: 4002))
            try Self.writeHosts(lab, "10.77.1.2 ws1.lab.example\n10.77.1.3 ws2.lab.example")
            let policy = """
                rules:
                  - {name: a, from: [ws1.lab.example, ws2.lab.example], to: [\(Echo.programs[0])]}
                  - {name: b, from: [ws1.lab.example], to: [\(Echo.programs[1])], open: always}
                """
            try await lab.serve(policy: policy)
            try await lab.start(echo)
            try await lab.start(standing)
            for source in ["10.77.1.2", "10.77.1.3"] { try lab.lookUp(echo, options: "--from \(source)") }
            let issued = try lab.grants().map(\.issued)
            #expect(issued.count == 2)
            try lab.spawnPeer(
                .approved, "flow",
                "connect --to 10.77.1.1 --port 4002 --over tcp --from 10.77.1.2 --send ping --repeat 2000 --every 30"
                    + " --wait 1000")
            try await eventually("it flows") { lab.log("flow").contains("received") }
            try lab.kill("daemon")
            try Self.writeHosts(lab, "")
            try await lab.silenceNames(timeout: 1)
            try await lab.restartDaemon()
            #expect(try lab.grants().map(\.issued) == issued)
            #expect(try lab.elements(of: "standing4") == ["10.77.1.2 . tcp . 4002"])
            #expect(try lab.connect(echo, options: "--from 10.77.1.3") == "connected")
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "timeout")
            let rounds = lab.log("flow").count
            try await eventually("the flow goes on") { lab.log("flow").count > rounds + 200 }
            #expect(try lab.events(.revoked).isEmpty && !lab.log("flow").contains("silence"))
            // Now the daemon knows that one of the clients is gone.
            try Self.writeHosts(lab, "10.77.1.2 ws1.lab.example\n10.77.3.2 ws2.lab.example")
            try await lab.event(.revoked) { $0.client == "10.77.1.3" }
            #expect(try lab.grants().map(\.client) == ["10.77.1.2"])
            #expect(try lab.elements(of: "standing4") == ["10.77.1.2 . tcp . 4002"])
            #expect(!lab.log("flow").contains("silence"))
        }

        @Test(
            "guard load shuts what was guarded last, whatever is wrong with the policy; the daemon adopts that, and a client's own packet brings its grant back",
            .lab(.rpcbind, .daemon, policy: policy(["10.77.1.2"])))
        func guardLoad() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try lab.lookUp(echo)
            #expect(try lab.connect(echo) == "connected")
            try lab.kill("daemon")
            // As at a boot: the table is gone.
            #expect(try lab.nft("delete table inet rpcwarden").isSuccess)
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "connected")
            try lab.configure(policy: "rules: [{name: broken, from: [10.77.1.2], to: [mountdd]}]")
            let load = try lab.rpcwarden("guard", "load")
            #expect(
                load.isSuccess && load.text == "table inet rpcwarden: 1 ports guarded, 1 grants remembered\n", "\(load)"
            )
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "timeout")
            #expect(try lab.connect(echo) == "timeout", "nothing is open before the policy has been read")
            #expect(try lab.elements(of: "guarded") == ["tcp . 4001"])
            let again = try lab.rpcwarden("guard", "load")
            #expect(again.isSuccess && again.text.contains("exists already"), "\(again)")

            try await lab.serve(policy: Self.policy(["10.77.1.2"]))
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "timeout")
            try await eventually("its packet brings it back") {
                try lab.connect(echo, options: "--wait 1500") == "connected"
            }
            try await lab.event(.renewed) { $0.client == "10.77.1.2" && $0.detail == "revived" }
            #expect(try lab.events(.tampered).isEmpty)
        }

        @Test(
            "a daemon that was killed has saved its guard, and one that finds no table guards from its start",
            .lab(.rpcbind))
        func killed() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.serve(policy: Self.policy(["10.77.1.2"]))
            try await lab.start(echo)
            let file = "\(lab.state)/guard.server/guard"
            try await eventually("it is saved") {
                String(decoding: FileManager.default.contents(atPath: file) ?? Data(), as: UTF8.self).contains(
                    "guarded tcp/4001 programs \(Echo.programs[0]) ")
            }
            try lab.kill("daemon", "KILL")
            #expect(try lab.nft("delete table inet rpcwarden").isSuccess)
            // Without rpcbind, the ports to guard are unknown.
            try lab.control("rpcbind", "stop")
            try await lab.serve(policy: Self.policy(["10.77.1.2"]), awaitsReadiness: false)
            try await eventually("it guards") { try lab.nft("list table inet rpcwarden").text.contains("tcp . 4001") }
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "timeout")
        }

        @Test(
            "a full disk is told of once, holds up nobody, and is written to when it takes something again",
            .lab(.rpcbind))
        func fullDisk() async throws {
            let lab = try Lab.current
            let folder = "\(lab.state)/guard.server"
            let fill =
                "mkdir \(folder); mount -t tmpfs -o size=8k tmpfs \(folder); head -c 8192 /dev/zero >\(folder)/fill"
            #expect(try lab.exec(.server, "sh", "-ec", fill).isSuccess)
            try await lab.serve(policy: Self.policy(["10.77.1.2"]))
            let echo = Echo()
            try await lab.start(echo)
            let complaint = "the guard can't be saved for the next boot: writing \(folder)/guard.new: No space left"
            try await eventually("it is told") { lab.log("daemon").contains(complaint) }
            #expect(try lab.lookUp(echo).result(of: echo.getPort) == .port(4001))
            #expect(try lab.exec(.server, "ls", folder).text == "fill\n", "nothing is left beside")
            // Saving is retried after five seconds, and after ten.
            let tried = ContinuousClock.now
            try await eventually("it was tried again") { .now - tried > .seconds(7) }
            #expect(lab.log("daemon").matches(of: /can't be saved/).count == 1)
            #expect(try lab.exec(.server, "rm", "\(folder)/fill").isSuccess)
            try await eventually("it is saved") {
                try lab.exec(.server, "cat", "\(folder)/guard").text.contains("guarded tcp/4001 ")
            }
        }

        @Test("guard load says what it finds: nothing, what it can't read, a configuration with a mistake", .lab())
        func guardLoadFindings() throws {
            let lab = try Lab.current
            try lab.configure(policy: "rules: []")
            let none = try lab.rpcwarden("guard", "load")
            #expect(none.isSuccess && none.text.contains("nothing to load"), "\(none)")
            #expect(try !lab.nft("list tables").text.contains("rpcwarden"))

            let folder = "\(lab.state)/guard.server"
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try lab.write("rpcwarden-guard 1\nopen tcp/22\n", to: "guard.server/guard")
            let broken = try lab.rpcwarden("guard", "load")
            #expect(broken.status == 2 && broken.errors.contains("\(folder)/guard: line 2: "), "\(broken)")
            #expect(!broken.text.contains("no guard was saved"), "\(broken)")
            #expect(try !lab.nft("list tables").text.contains("rpcwarden"))

            let saved = """
                rpcwarden-guard 1
                table rpcwarden guard observe
                guarded tcp/22 programs 100003 sockets -
                guarded tcp/2049 programs 100003 sockets -
                end 4

                """
            try lab.write(saved, to: "guard.server/guard")
            try lab.configure("mode: enforced\nfirewall: {never: []}", policy: "rules: []")
            let mistake = try lab.rpcwarden("guard", "load")
            #expect(mistake.isSuccess && mistake.text.contains("last in force") && mistake.text.contains("enforced"))
            #expect(try lab.elements(of: "guarded") == ["tcp . 2049"], "ssh's port is never guarded")
            #expect(try lab.nft("list table inet rpcwarden").text.contains("observing"), "as it ran last")
        }

        @Test("of the administrator's own table, guard load fills the set, and makes none", .lab())
        func guardLoadSets() throws {
            let lab = try Lab.current
            let saved =
                "rpcwarden-guard 1\ntable rpcwarden sets enforce\nguarded tcp/2049 programs 100003 sockets -\nend 3\n"
            try FileManager.default.createDirectory(
                atPath: "\(lab.state)/guard.server", withIntermediateDirectories: true)
            try lab.write(saved, to: "guard.server/guard")
            try lab.configure("firewall: {manage: sets}", policy: "rules: []")
            let none = try lab.rpcwarden("guard", "load")
            #expect(none.isSuccess && none.text.contains("make it yourself"), "\(none)")
            #expect(try !lab.nft("list tables").text.contains("rpcwarden"))
            try lab.write(
                """
                table inet rpcwarden {
                    set guarded { typeof meta l4proto . th dport; }
                    chain mine { type filter hook input priority 0; meta l4proto . th dport @guarded counter drop; }
                }

                """, to: "own.nft")
            #expect(try lab.nft("-f \(lab.state)/own.nft").isSuccess)
            let filled = try lab.rpcwarden("guard", "load")
            #expect(filled.isSuccess && filled.text.contains("1 ports guarded"), "\(filled)")
            #expect(try lab.elements(of: "guarded") == ["tcp . 2049"])
            #expect(try lab.nft("list table inet rpcwarden").text.contains("chain mine"))
        }
    }
}
