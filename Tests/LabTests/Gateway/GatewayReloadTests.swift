import Portmapper
import Testing

extension LabTests {
    @Suite("A reload of a gateway's policy")
    struct GatewayReloadTests {
        /// One host, which counts as two servers.
        private static let two = """
            gateway:
              servers:
                - {name: filer1, address: 10.77.5.2, rpcbind: {refresh: 1s}}
                - {name: filer2, address: 10.77.5.9, rpcbind: {refresh: 1s}}
            """

        private static func policy(_ servers: [String]) -> String {
            let rules = servers.map { server in
                """
                  - name: at \(server)
                    from: [10.77.1.2]
                    to: [\(Echo.programs[0])]
                    at: [\(server)]
                """
            }
            return (["rules:"] + rules).joined(separator: "\n")
        }

        private func rounds(_ lab: Lab, _ name: String) -> Int {
            lab.log(name).split(separator: "\n").count { $0.hasPrefix("received") }
        }

        @Test(
            "that lacks a rule ends the grants at that server and cuts their flows, and no other server's",
            .gateway(.filerRpcbind, .daemon, settings: two, policy: policy(["filer1", "filer2"])))
        func ruleRemoved() async throws {
            let lab = try Lab.current
            let echo = Echo(host: .filer)
            try await lab.start(echo)
            for server in ["10.77.5.2", "10.77.5.9"] {
                try await eventually("\(server) is guarded") {
                    try lab.elements(of: "guarded_at4").contains("\(server) . tcp . 4001")
                }
                let answer = try lab.lookUp(echo, to: server)
                #expect(answer.result(of: echo.getPort) == .port(4001), "\(answer)")
                try lab.spawnPeer(
                    .approved, server,
                    "connect --to \(server) --port 4001 --over tcp --send ping --repeat 1000 --every 30 --wait 1000")
                try await eventually("the flow to \(server) flows") { rounds(lab, server) > 3 }
            }
            #expect(
                try lab.kernelGrants(atFiler: "granted_at4") == [
                    "10.77.1.2 10.77.5.2 tcp/4001", "10.77.1.2 10.77.5.9 tcp/4001",
                ])

            try lab.write(Self.policy(["filer2"]) + "\n", to: "policy.yaml")
            let output = try lab.rpcwarden("reload")
            #expect(output.isSuccess, "\(output)")
            try await lab.event(.revoked) { $0.client == "10.77.1.2" && $0.server == "filer1" }
            try await eventually("the flow is cut") { lab.log("10.77.5.2").contains("silence") }
            let before = rounds(lab, "10.77.5.9")
            try await eventually("the other flow goes on") { rounds(lab, "10.77.5.9") > before + 10 }
            #expect(try lab.kernelGrants(atFiler: "granted_at4") == ["10.77.1.2 10.77.5.9 tcp/4001"])
            #expect(try lab.connect(echo) == "timeout")
            #expect(try lab.connect(echo, to: "10.77.5.9") == "connected")
            #expect(try lab.events(.revoked).count == 1)
            #expect(try lab.lookUp(echo).result(of: echo.getPort) == nil)

            try lab.write(Self.policy(["filer1", "filer2"]) + "\n", to: "policy.yaml")
            #expect(try lab.rpcwarden("reload").isSuccess)
            #expect(try lab.lookUp(echo).result(of: echo.getPort) == .port(4001))
            #expect(try lab.connect(echo) == "connected")
        }
    }
}
