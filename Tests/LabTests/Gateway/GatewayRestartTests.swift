import Addresses
import Portmapper
import Testing

extension LabTests {
    @Suite("While the daemon of a gateway is dead, and when it is back")
    struct GatewayRestartTests {
        private static let others = "port 111 and not host 10.77.5.1 and not host fd77:5::1"

        @Test(
            "calls are dropped and go to no server, admitted clients stay in, and grants are adopted",
            .gateway(
                .filerRpcbind, .daemon, settings: Filer.settings() + "\nfirewall: {own-table: false}",
                policy: Policies.filerEchoes()),
            arguments: ["TERM", "KILL"])
        func restart(signal: String) async throws {
            let lab = try Lab.current
            let echo = Echo(host: .filer)
            try await lab.start(echo)
            try lab.lookUp(echo)
            let grants = try lab.kernelGrants(atFiler: "granted_at4")
            #expect(grants == ["10.77.1.2 10.77.5.2 tcp/4001"])
            try lab.spawnPeer(
                .approved, "flow",
                "connect --to 10.77.5.2 --port 4001 --over tcp --send ping --repeat 1000 --every 30 --wait 1000")
            try await eventually("the flow flows") { lab.log("flow").contains("received") }

            try lab.kill("daemon", signal)
            let packets = try await lab.packets(at: .filer, Self.others) {
                for server in ["10.77.5.2", "10.77.5.9", "fd77:5::2"] {
                    for over in [Transport.udp, .tcp] {
                        let answer = try lab.ask(
                            .approved, .dump(.v2), to: server, over: over, options: "--wait 300")
                        #expect(answer.replies.isEmpty, "\(answer)")
                    }
                }
                // Even if nothing intercepts any more: port 111 of a server is closed.
                #expect(try lab.nft("flush chain inet rpcwarden intercept").isSuccess)
                for over in [Transport.udp, .tcp] {
                    let answer = try lab.ask(
                        .approved, .dump(.v2), to: "10.77.5.2", over: over, options: "--wait 300")
                    #expect(answer.replies.isEmpty, "\(answer)")
                }
            }
            #expect(packets.isEmpty)
            #expect(try lab.connect(echo) == "connected", "the grant opens new connections while the daemon is dead")
            #expect(try lab.connect(echo, from: .stranger) == "timeout")

            let other = Echo(program: Echo.programs[1], port: 4002, host: .filer)
            try await lab.start(other)
            try await lab.restartDaemon()
            #expect(try lab.kernelGrants(atFiler: "granted_at4") == grants)
            #expect(try lab.connect(echo) == "connected")
            try await eventually("what came meanwhile is guarded") { try lab.isGuarded(other) }
            #expect(try lab.connect(other) == "timeout")
            try await eventually("lookups are answered again") {
                try lab.lookUp(other).result(of: other.getPort) == .port(4002)
            }
            #expect(try lab.connect(other) == "connected")
            #expect(try lab.connect(echo, from: .stranger) == "timeout")
            let rounds = lab.log("flow").split(separator: "\n").count
            try await eventually("the flow goes on") { lab.log("flow").split(separator: "\n").count > rounds + 10 }
            #expect(!lab.log("flow").contains("silence") && !lab.log("flow").contains("closed"))
            #expect(try lab.events(.revoked).isEmpty)
        }
    }
}
