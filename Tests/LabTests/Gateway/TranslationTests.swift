import Addresses
import Portmapper
import Testing

extension LabTests {
    @Suite("A gateway that translates addresses")
    struct TranslationTests {
        private func spawnFlow(_ lab: Lab, to server: String) async throws {
            try lab.spawnPeer(
                .approved, "flow",
                "connect --to \(server) --port 4001 --over tcp --send ping --repeat 1000 --every 30 --wait 1000")
            try await eventually("the flow flows") { lab.log("flow").contains("received") }
        }

        private func expectCut(_ lab: Lab, _ echo: Echo, to server: String) async throws {
            let output = try lab.rpcwarden("revoke", "--client", "10.77.1.2")
            #expect(output.isSuccess && output.text.contains("tcp/4001"), "\(output)")
            try await lab.event(.revoked) { $0.client == "10.77.1.2" && $0.server == "filer1" }
            try await eventually("the flow is cut") { lab.log("flow").contains("silence") }
            #expect(try lab.connect(echo, to: server) == "timeout")
        }

        @Test(
            "of clients, by masquerade: lookups, grants and connects work, and revoke cuts the flow",
            .gateway(.filerRpcbind, .daemon, policy: Policies.filerEchoes()))
        func masquerade() async throws {
            let lab = try Lab.current
            try lab.write(
                """
                table ip nat {
                  chain postrouting {
                    type nat hook postrouting priority srcnat;
                    oifname "to-filer5" masquerade
                  }
                }
                """, to: "nat.nft")
            try lab.shell("nft -f \(lab.state)/nat.nft")
            let echo = Echo(host: .filer)
            try await lab.start(echo)
            #expect(try lab.connect(echo) == "timeout")
            #expect(try lab.lookUp(echo).result(of: echo.getPort) == .port(4001))
            #expect(try lab.connect(echo) == "connected")
            #expect(try lab.connect(echo, from: .stranger) == "timeout")
            try await spawnFlow(lab, to: "10.77.5.2")
            #expect(lab.log(echo.name).matches(of: /accepted ([0-9.]+):/).allSatisfy { $0.1 == "10.77.5.1" })
            try await expectCut(lab, echo, to: "10.77.5.2")
        }

        private static let aliased = Filer.settings("also-known-as: [10.77.6.2]\n      rpcbind: {refresh: 1s}")

        @Test(
            "of a server, one to one but for port 111: it is asked and used by its public address, and revoke cuts the flow",
            .gateway(.filerRpcbind, .daemon, settings: aliased, policy: Policies.filerEchoes()))
        func alias() async throws {
            let lab = try Lab.current
            try lab.write(
                """
                table ip nat {
                  chain prerouting {
                    type nat hook prerouting priority dstnat;
                    ip daddr 10.77.6.2 meta l4proto { tcp, udp } th dport != 111 dnat to 10.77.5.2
                  }
                }
                """, to: "nat.nft")
            try lab.shell("nft -f \(lab.state)/nat.nft")
            let echo = Echo(host: .filer)
            try await lab.start(echo)
            #expect(try lab.connect(echo, to: "10.77.6.2") == "timeout")
            let answer = try lab.lookUp(echo, to: "10.77.6.2")
            #expect(answer.result(of: echo.getPort) == .port(4001), "\(answer)")
            #expect(answer.sources.map { $0.contains("10.77.6.2") } == [true], "\(answer)")
            #expect(try lab.connect(echo, to: "10.77.6.2") == "connected")
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.6.2") == "timeout")
            #expect(try lab.connect(echo, from: .stranger) == "timeout")
            try await spawnFlow(lab, to: "10.77.6.2")
            try await expectCut(lab, echo, to: "10.77.6.2")
        }

        @Test(
            "of a server with port 111 among it: nothing gets past the daemon to the server's portmapper",
            .gateway(.filerRpcbind, .daemon, policy: Policies.filerEchoes()))
        func translatedPortmapper() async throws {
            let lab = try Lab.current
            try lab.write(
                """
                table ip nat {
                  chain prerouting {
                    type nat hook prerouting priority dstnat;
                    ip daddr 10.77.6.2 dnat to 10.77.5.2
                  }
                }
                """, to: "nat.nft")
            try lab.shell("nft -f \(lab.state)/nat.nft")
            let packets = try await lab.packets(at: .filer, "port 111 and not host 10.77.5.1") {
                for host in [Lab.Host.approved, .stranger] {
                    for over in [Transport.udp, .tcp] {
                        let answer = try lab.ask(
                            host, .dump(.v2), to: "10.77.6.2", over: over, options: "--wait 300")
                        #expect(answer.replies.isEmpty, "\(answer)")
                    }
                }
            }
            #expect(packets.isEmpty)
        }
    }
}
