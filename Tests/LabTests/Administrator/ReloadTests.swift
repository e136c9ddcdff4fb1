import Foundation
import Glibc
import Testing

extension LabTests {
    @Suite("Reload")
    struct ReloadTests {
        private static func policy(from clients: String, open: String = "on-lookup", extra: String = "") -> String {
            """
            rules:
              - {name: echoes, from: [\(clients)], to: [\(Echo.programs[0])], open: \(open)}
            \(extra)
            """
        }

        private static let both = policy(from: "10.77.1.2, 10.77.1.3")

        /// Starts a flow from each of the two addresses of the approved host; its log has the name of its source
        /// address.
        private static func flows(_ lab: Lab, to echo: Echo, lookUp: Bool = true) async throws {
            for source in ["10.77.1.2", "10.77.1.3"] {
                if lookUp { try lab.lookUp(echo, options: "--from \(source)") }
                try lab.spawnPeer(
                    .approved, source,
                    "connect --to 10.77.1.1 --port \(echo.port) --over tcp --from \(source)"
                        + " --send ping --repeat 1000 --every 30 --wait 1000")
                try await eventually("\(source) flows") { rounds(lab, source) > 3 }
            }
        }

        private static func rounds(_ lab: Lab, _ source: String) -> Int {
            lab.log(source).split(separator: "\n").count { $0.hasPrefix("received") }
        }

        @Test(
            "of a bad file is refused whole: the old policy stays, and nobody loses anything",
            .lab(.rpcbind, .daemon, policy: both), arguments: [true, false])
        func refused(byCommand: Bool) async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try await Self.flows(lab, to: echo)
            // The first rule alone would revoke a grant; the error is in the second rule.
            try lab.configure(
                "mode: observe",
                policy: Self.policy(from: "10.77.1.3", extra: "  - {name: b, from: [10.0.0.1], to: [mountdd]}"))
            if byCommand {
                let output = try lab.rpcwarden("reload")
                #expect(output.status == 2 && output.text.isEmpty, "\(output)")
                #expect(output.errors.contains("policy.yaml:3:") && output.errors.contains("mountdd"), "\(output)")
            } else {
                try lab.kill("daemon", "HUP")
            }
            try await lab.event(.reloadRefused) { $0.detail?.contains("policy.yaml:3:") == true }
            let before = Self.rounds(lab, "10.77.1.2")
            try await eventually("its flow goes on") { Self.rounds(lab, "10.77.1.2") > before + 10 }
            #expect(try lab.lookUp(echo).result(of: echo.getPort) == .port(4001))
            #expect(try lab.events(.revoked).isEmpty && lab.events(.reloaded).isEmpty)
            #expect(try lab.listing("status", as: StatusReport.self).mode == "enforce")
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "timeout")
        }

        @Test(
            "ends grants and flows that are no longer permitted, and touches no other; it says and logs what changed",
            .lab(.rpcbind, .daemon, policy: both), arguments: [true, false])
        func narrowed(byCommand: Bool) async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try await Self.flows(lab, to: echo)
            let kept = try lab.grants().filter { $0.client == "10.77.1.3" }.map(\.issued)
            try lab.configure(
                policy: Self.policy(
                    from: "10.77.1.3", extra: "  - {name: quotas, from: [10.77.3.2], to: [rquotad]}"))
            let changes = ["rule added", "policy.yaml:3 \"quotas\"", "rule changed", "policy.yaml:2 \"echoes\""]
            if byCommand {
                let output = try lab.rpcwarden("reload")
                #expect(output.isSuccess && changes.allSatisfy(output.text.contains), "\(output)")
                #expect(try !lab.elements(of: "granted4").contains { $0.hasPrefix("10.77.1.2 ") }, "at once")
            } else {
                try lab.kill("daemon", "HUP")
            }
            try await lab.event(.reloaded) { changes.allSatisfy(($0.detail ?? "").contains) }
            try await lab.event(.revoked) { $0.client == "10.77.1.2" && $0.granted == "tcp/4001" }
            try await eventually("the flow is cut") { lab.log("10.77.1.2").contains("silence") }
            let (cut, before) = (Self.rounds(lab, "10.77.1.2"), Self.rounds(lab, "10.77.1.3"))
            try await eventually("the other goes on") { Self.rounds(lab, "10.77.1.3") > before + 10 }
            #expect(Self.rounds(lab, "10.77.1.2") == cut)
            #expect(!lab.log("10.77.1.3").contains("silence") && !lab.log("10.77.1.3").contains("closed"))
            #expect(try lab.grants().map(\.issued) == kept)
            #expect(try lab.events(.revoked).count == 1)
            #expect(try lab.lookUp(echo, options: "--wait 1000").isSilence, "a stranger now")
            #expect(try lab.events(.tampered).isEmpty)
        }

        @Test(
            "ends standing openings and their flows, and lets the rest stand",
            .lab(.rpcbind, .daemon, policy: policy(from: "10.77.1.2, 10.77.1.3", open: "always")))
        func standing() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try await eventually("open") { try lab.connect(echo, options: "--wait 200") == "connected" }
            try await Self.flows(lab, to: echo, lookUp: false)
            try lab.configure(policy: Self.policy(from: "10.77.1.3", open: "always"))
            #expect(try lab.rpcwarden("reload").isSuccess)
            #expect(try lab.elements(of: "standing4") == ["10.77.1.3 . tcp . 4001"])
            try await eventually("the flow is cut") { lab.log("10.77.1.2").contains("silence") }
            let before = Self.rounds(lab, "10.77.1.3")
            try await eventually("the other goes on") { Self.rounds(lab, "10.77.1.3") > before + 10 }
            #expect(!lab.log("10.77.1.3").contains("silence"))
            #expect(try lab.connect(echo, options: "--from 10.77.1.2 --wait 400") == "timeout")
        }

        /// Requests a reload that waits while it reads, because the policy's file system hangs.
        private static func hold(_ lab: Lab) async throws {
            let folder = "\(lab.state)/hangs"
            try lab.spawn(
                .server, "hang",
                ["python3", Lab.path("scripts/lab.d/hang.py"), folder, lab.state])
            try await eventually("it is mounted") { lab.log("hang").contains("mounted") }
            #expect(rename("\(lab.state)/policy.yaml", "\(lab.state)/policy.old") == 0)
            #expect(symlink("\(folder)/held", "\(lab.state)/policy.yaml") == 0)
            try spawnReload(lab, "first")
            try await eventually("the netfilter process reads") { lab.log("hang").contains("waits held") }
        }

        /// The waiting reader gets `text`, all later readers get `policy`.
        private static func release(_ lab: Lab, _ text: String, thenPolicy policy: String) throws {
            #expect(unlink("\(lab.state)/policy.yaml") == 0)
            try lab.write(policy + "\n", to: "policy.yaml")
            try lab.write(text + "\n", to: "held.new")
            #expect(rename("\(lab.state)/held.new", "\(lab.state)/held") == 0)
        }

        /// The command reads configuration files too, to find the daemon; they are not the files that the daemon
        /// reads.
        private static func spawnReload(_ lab: Lab, _ name: String) throws {
            try lab.write("policy: policy.old\n", to: "command.yaml")
            try lab.spawn(.server, name, [lab.binary, "reload", "--config", "\(lab.state)/command.yaml"])
        }

        @Test(
            "keeps nobody waiting, however long it reads; a second one follows it, and both processes go by the same files",
            .lab(.rpcbind, .daemon, policy: both))
        func held() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try await Self.hold(lab)
            try Self.spawnReload(lab, "second")
            // The kernel has to open a port for this lookup, too.
            #expect(try lab.lookUp(echo, options: "--from 10.77.1.2").result(of: echo.getPort) == .port(4001))
            #expect(try lab.elements(of: "granted4").count { $0.hasPrefix("10.77.1.2 ") } == 1)
            #expect(try lab.isRunning("first") && lab.isRunning("second"))
            #expect(try lab.events(.reloaded).isEmpty)
            // The blocked policy is out of date when it has been read: both processes go by it all the same.
            try Self.release(
                lab, Self.policy(from: "10.77.1.3", extra: "  - {name: old, from: [10.77.3.2], to: [rquotad]}"),
                thenPolicy: Self.policy(from: "10.77.1.3", extra: "  - {name: new, from: [10.77.3.2], to: [rquotad]}"))
            try await eventually("both end") { try !lab.isRunning("first") && !lab.isRunning("second") }
            #expect(lab.log("first").contains("rule added: policy.yaml:3 \"old\""))
            #expect(lab.log("second").contains("rule added: policy.yaml:3 \"new\""))
            #expect(lab.log("second").contains("rule removed: policy.yaml:3 \"old\""))
            #expect(try lab.events(.reloaded).count == 2)
            #expect(try lab.lookUp(echo, options: "--wait 1000").isSilence && lab.grants().isEmpty)
            #expect(try lab.lookUp(echo, options: "--from 10.77.1.3").result(of: echo.getPort) == .port(4001))
        }

        @Test("that reads without end does not keep the daemon from stopping", .lab(.rpcbind, .daemon, policy: both))
        func heldWhileStopping() async throws {
            let lab = try Lab.current
            try await Self.hold(lab)
            try lab.kill("daemon")
            try await eventually("both end") { try !lab.isRunning("daemon") && !lab.isRunning("first") }
            #expect(try lab.events(.stopped).count == 1)
            #expect(lab.log("first").contains("the daemon is stopping"))
        }

        @Test("says when nothing changed, and what a restart is needed for", .lab(.rpcbind, .daemon, policy: both))
        func unchanged() async throws {
            let lab = try Lab.current
            #expect(try lab.rpcwarden("reload").text == "nothing changed\n")
            try lab.configure("listen: [\"10.77.1.1:111\"]", policy: Self.both)
            let output = try lab.rpcwarden("reload")
            #expect(output.isSuccess && output.text.contains("restart to apply"), "\(output)")
        }

        @Test(
            "changes the mode of the running table: observe lets strangers in, enforce shuts them out again",
            .lab(.rpcbind, .daemon, policy: both))
        func mode() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try await Self.flows(lab, to: echo)
            let grants = try lab.grants().map(\.issued)
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "timeout")
            try lab.configure("mode: observe", policy: Self.both)
            #expect(try lab.rpcwarden("reload").isSuccess)
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "connected")
            try lab.configure(policy: Self.both)
            #expect(try lab.rpcwarden("reload").isSuccess)
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "timeout")
            #expect(try lab.grants().map(\.issued) == grants)
            let before = Self.rounds(lab, "10.77.1.2")
            try await eventually("flows go on") { Self.rounds(lab, "10.77.1.2") > before + 10 }
            #expect(!lab.log("10.77.1.2").contains("silence"))
        }
    }
}
