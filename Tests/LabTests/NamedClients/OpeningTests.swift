import Foundation
import Testing

extension LabTests {
    @Suite("What a rule says to open")
    struct OpeningTests {
        private static func nfsAlone(open: String) -> String {
            """
            rules:
              - name: nfs alone
                from: [10.77.1.0/24, "fd77:1::/64"]
                to: [nfs]
                open: \(open)
            """
        }

        @Test(
            "never: the port is told, and stays shut", .lab(.rpcbind, .daemon, policy: Policies.echoes(open: "never")))
        func never() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            let answer = try lab.lookUp(echo)
            #expect(answer.result(of: echo.getPort) == .port(4001))
            #expect(try lab.connect(echo) == "timeout")
            #expect(try lab.grants().isEmpty)
            #expect(try lab.elements(of: "standing4").isEmpty && lab.elements(of: "granted4").isEmpty)
        }

        @Test(
            "always: an NFSv4 client, which never asks, gets in from the first moment",
            .lab(.rpcbind, .ganesha, .daemon, policy: nfsAlone(open: "always")))
        func always() async throws {
            let lab = try Lab.current
            let listing = try lab.exec(.approved, "nfs-ls", "nfs://10.77.1.1/export?version=4")
            #expect(listing.isSuccess && listing.text.contains("hello.txt"), "\(listing)")
            #expect(try lab.events(.permitted).isEmpty, "without any portmapper call")
            #expect(try lab.elements(of: "standing4").contains { $0.hasPrefix("10.77.1.0/24 . tcp . 2049") })
            #expect(try lab.elements(of: "standing6").contains { $0.hasPrefix("fd77:1::/64 . tcp . 2049") })
            #expect(try lab.grants().isEmpty)
            for (host, server) in [(Lab.Host.stranger, "10.77.4.1"), (.limited, "10.77.3.1")] {
                let outcome = try lab.peer(host, "connect --to \(server) --port 2049 --over tcp --wait 400")
                #expect(outcome.lines == ["timeout"], "\(host)")
            }
        }

        @Test(
            "on-lookup: an NFSv4 client, which never asks, stays out",
            .lab(.rpcbind, .ganesha, .daemon, policy: nfsAlone(open: "on-lookup")))
        func onLookup() throws {
            let lab = try Lab.current
            let listing = try lab.exec(.approved, "nfs-ls", "nfs://10.77.1.1/export?version=4", seconds: 1)
            #expect(!listing.isSuccess)
        }

        @Test(
            "always follows the registration, from one port to another",
            .lab(.rpcbind, .daemon, policy: Policies.echoes(open: "always")))
        func alwaysFollows() async throws {
            let lab = try Lab.current
            let (old, new) = (Echo(port: 4001), Echo(port: 4002))
            try await lab.start(old)
            try await eventually("the port is open") { try lab.connect(old, options: "--wait 200") == "connected" }
            try await lab.start(new, isRegistered: false)
            try lab.register(old, as: "unset")
            try lab.register(new)
            try await eventually("the new port is guarded") { try lab.elements(of: "guarded").contains("tcp . 4002") }
            try await eventually("the new port is open") { try lab.connect(new, options: "--wait 200") == "connected" }
            #expect(try lab.elements(of: "standing4").allSatisfy { !$0.contains("4001") })
            try await lab.event(.unregistered) { $0.program == old.program && $0.detail?.contains("tcp/4001") == true }
            try await lab.event(.registered) { $0.program == new.program && $0.detail?.contains("tcp/4002") == true }
        }

        @Test(
            "a grant dies with its mapping and its socket, and its flow with it",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()))
        func grantDiesWithMapping() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try lab.lookUp(echo)
            #expect(try lab.connect(echo) == "connected")
            try lab.kill(echo.name)
            try lab.register(echo, as: "unset")
            try await lab.event(.revoked) { $0.client == "10.77.1.2" && $0.granted == "tcp/4001" }
            #expect(try lab.grants().isEmpty)
        }

        @Test(
            "a flow to a program doesn't reach another one that takes over its port",
            .lab(
                .rpcbind, .daemon,
                policy: "rules: [{name: a, from: [10.77.1.2], to: [\(Echo.programs[0])], open: always}]"))
        func replaced() async throws {
            let lab = try Lab.current
            let (old, new) = (Echo(transport: .udp), Echo(program: Echo.programs[1], transport: .udp))
            try await lab.start(old)
            try await eventually("open") { try lab.connect(old, options: "--wait 200").hasPrefix("reply") }
            try lab.spawnPeer(
                .approved, "flow",
                "connect --to 10.77.1.1 --port 4001 --over udp --send ping --repeat 1000 --every 20 --wait 1500")
            func rounds() -> Int { lab.log("flow").split(separator: "\n").count }
            try await eventually("it flows") { rounds() > 5 }
            try lab.register(old, as: "unset")
            try await lab.event(.unregistered)
            try lab.register(new)
            try await lab.event(.registered) { $0.program == new.program }
            try await eventually("it ends") { lab.log("flow").contains("silence") }
            #expect(try lab.connect(new, options: "--wait 300") == "silence")
        }

        @Test(
            "a grant ends with the rule that permitted it, when the policy is reloaded",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()))
        func grantDiesWithRule() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try lab.lookUp(echo)
            #expect(try lab.connect(echo) == "connected")
            try lab.configure(policy: "rules: [{name: broken, from: [10.77.1.2], to: [mountdd]}]")
            let refused = try lab.rpcwarden("reload")
            #expect(refused.status == 2 && refused.errors.contains("did you mean \"mountd\""), "\(refused)")
            try await lab.event(.reloadRefused)
            #expect(try lab.connect(echo) == "connected", "the old policy stays in force")

            try lab.configure(policy: "rules: [{name: other, from: [10.77.1.3], to: [mountd], list: true}]")
            #expect(try lab.rpcwarden("reload").isSuccess)
            try await lab.event(.revoked) { $0.granted == "tcp/4001" }
            #expect(try lab.connect(echo) == "timeout")
        }
    }
}
