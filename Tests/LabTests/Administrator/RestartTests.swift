import Glibc
import Testing

extension LabTests {
    @Suite("While the daemon is dead, and when it is back")
    struct RestartTests {
        @Test(
            "strangers stay out, admitted clients stay in, and grants are adopted",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()), arguments: ["TERM", "KILL"])
        func restart(signal: String) async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try lab.lookUp(echo)
            #expect(try lab.connect(echo) == "connected")
            let issued = try lab.grants().map(\.issued)
            try lab.spawnPeer(
                .approved, "flow",
                "connect --to 10.77.1.1 --port 4001 --over tcp --send ping --repeat 1000 --every 30 --wait 1000")
            // Connects continuously, from before the daemon's end until after its restart.
            // A SYN that is dropped comes again after a second.
            let trying = """
                while :; do \(lab.peerBinary) connect --to 10.77.4.1 --port 4001 --over tcp --wait 40; done
                """
            try lab.spawn(.stranger, "trying", ["sh", "-c", trying])
            try await eventually("the stranger has tried") { lab.log("trying").count > 30 }
            try await eventually("the flow flows") { lab.log("flow").contains("received") }

            try lab.kill("daemon", signal)
            #expect(try lab.events(.stopped).count == (signal == "TERM" ? 1 : 0))
            #expect(try lab.connect(echo) == "connected", "the grant opens new connections while the daemon is dead")
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "timeout")
            #expect(try lab.nft("list chain inet rpcwarden input").text.contains("goto guarded_port"))

            let other = Echo(program: Echo.programs[1], port: 4002)
            try await lab.start(other, isRegistered: false)
            try lab.register(other)
            try await lab.restartDaemon()
            #expect(try lab.grants().map(\.issued) == issued, "adopted as they were")
            #expect(try lab.connect(echo) == "connected")
            try await eventually("what came meanwhile is guarded") {
                try lab.elements(of: "guarded").contains("tcp . 4002")
            }
            #expect(try lab.connect(other, from: .stranger, to: "10.77.4.1") == "timeout")
            let rounds = lab.log("flow").split(separator: "\n").count
            try await eventually("the flow goes on") { lab.log("flow").split(separator: "\n").count > rounds + 10 }
            #expect(!lab.log("flow").contains("silence") && !lab.log("flow").contains("closed"))
            #expect(Set(lab.log("trying").split(separator: "\n")) == ["timeout"], "no stranger got in meanwhile")
            #expect(try lab.listing("status", as: StatusReport.self).table.intact)
            #expect(try lab.events(.revoked).isEmpty)
            #expect(
                try lab.rpcwarden("revoke", "--client", "10.77.1.2").text.contains("tcp/4001"),
                "an adopted grant can be revoked")
            try await lab.event(.revoked) { $0.client == "10.77.1.2" }
        }

        @Test(
            "grants stay in the kernel as they are, counters and all, unless somebody put more into the table meanwhile",
            .enabled(if: kernelCountsElements), .lab(.rpcbind, .daemon, policy: Policies.echoes()),
            arguments: [false, true])
        func staysInTheKernel(isTamperedWith: Bool) async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try lab.lookUp(echo)
            for _ in 0..<5 { #expect(try lab.connect(echo) == "connected") }
            let packets = try #require(try lab.grants().first?.packets)
            #expect(packets > 0)
            try lab.kill("daemon")
            let open = try lab.nft("insert rule inet rpcwarden guarded_port accept")
            #expect(open.status == 0)
            if isTamperedWith {
                let add = try lab.nft("add element inet rpcwarden granted4 { 10.77.4.2 . tcp . 4001 }")
                #expect(add.status == 0)
            }
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "connected")
            try await lab.restartDaemon()
            #expect(try lab.grants().map(\.packets) == [isTamperedWith ? 0 : packets])
            #expect(try lab.grants().map(\.client) == ["10.77.1.2"])
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "timeout")
            #expect(try lab.connect(echo) == "connected")
        }

        @Test(
            "a grant that the policy no longer permits is revoked at the start",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()))
        func policyChangedMeanwhile() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try lab.lookUp(echo)
            try lab.kill("daemon")
            try lab.configure(policy: "rules: [{name: other, from: [10.77.1.3], to: [mountd], list: true}]")
            try await lab.restartDaemon()
            try await lab.event(.revoked) { $0.client == "10.77.1.2" && $0.granted == "tcp/4001" }
            #expect(try lab.connect(echo) == "timeout")
        }

        @Test(
            "a grant whose service ended meanwhile is revoked at the start",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()))
        func serviceEndedMeanwhile() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try lab.lookUp(echo)
            try lab.kill("daemon")
            try lab.kill(echo.name)
            try lab.register(echo, as: "unset")
            try await lab.restartDaemon()
            try await lab.event(.revoked) { $0.client == "10.77.1.2" && $0.granted == "tcp/4001" }
            #expect(try lab.grants().isEmpty)
        }

        @Test(
            "an opening that always stands is there from the first packet on",
            .lab(.rpcbind, .daemon, policy: Policies.echoes(open: "always")))
        func standingStays() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try await eventually("open") { try lab.connect(echo, options: "--wait 200") == "connected" }
            let trying = """
                while :; do \(lab.peerBinary) connect --to 10.77.1.1 --port 4001 --over tcp --wait 900; done
                """
            try lab.spawn(.approved, "trying", ["sh", "-c", trying])
            try lab.kill("daemon", "KILL")
            try await lab.restartDaemon()
            let tried = lab.log("trying").split(separator: "\n").count
            try await eventually("it goes on") { lab.log("trying").split(separator: "\n").count > tried + 10 }
            #expect(Set(lab.log("trying").split(separator: "\n")) == ["connected"])
        }
    }
}

/// Whether the kernel counts the elements of a set. Otherwise a start may have to make all grants again.
private let kernelCountsElements: Bool = {
    var system = utsname()
    uname(&system)
    let release = withUnsafeBytes(of: system.release) { String(decoding: $0, as: UTF8.self) }
    let numbers = release.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
    return !numbers.lexicographicallyPrecedes([6, 18])
}()
